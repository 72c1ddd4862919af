"""Fixtures every test may use: settings over an empty data root, and a source small enough to read by eye."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A server on the loopback that takes whatever is posted: its address, and the bodies it was sent."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()
