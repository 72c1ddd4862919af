"""Fixtures every test may use: settings over an empty data root, and a source small enough to read by eye."""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from feature_store.settings import Settings, load_settings

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("nightmill", deadline=None)
hypothesis.settings.load_profile("nightmill")

# user, item, rating, seconds since 1970 (1998-01-01 00:00 UTC is 883612800)
INTER = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
ann\tm1\t5\t883612800
ann\tm2\t3\t883616400
bob\tm1\t4\t883699200
bob\tm3\t2\t883785599
"""
ITEM = """\
item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
m1\tToy Story\t1995\tAnimation Comedy
m2\tGoldenEye\t1995\tAction
m3\tLos ñandúes: «¿?»\t1996\tDrama
m4\tNever Seen\t1997\t
"""
USER = """\
user_id:token\tage:token\toccupation:token
ann\t24\ttechnician
bob\t53\tother
eve\t23\twriter
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder in RecBole's format: 4 events of 2 users on 1998-01-01 and 02, 4 items."""
    return write_source(tmp_path / "source")


def write_source(folder: Path) -> Path:
    """Write the small source into a new folder."""
    folder.mkdir()
    for suffix, text in (("inter", INTER), ("item", ITEM), ("user", USER)):
        (folder / f"tiny.{suffix}").write_text(text, "utf-8")
    return folder


@pytest.fixture
def make_settings(tmp_path: Path, source: Path) -> Callable[..., Settings]:
    """Settings over `tmp_path/data` and the small source; keyword arguments are SECTION__KEY=value."""

    def make(**overrides: str) -> Settings:
        environ = {"NIGHTMILL_DATA": str(tmp_path / "data"), "NIGHTMILL_SOURCE__LOCATION": str(source)}
        return load_settings(environ | {f"NIGHTMILL_{name}": value for name, value in overrides.items()})

    return make
