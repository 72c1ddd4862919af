"""Sources written by hand: files by name, and what they become."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from feature_store.settings import Settings, load_settings
from jobs.sources import tables
from jobs.sources.chunk import Wanted
from jobs.sources.places import File
from jobs.sources.tables import Raw

# What the mapping names where a test says nothing else.
PLAIN = {
    "SOURCE__USER": "user",
    "SOURCE__ITEM": "item",
    "SOURCE__TIME": "time",
    "SOURCE__VALUE": "",
    "SOURCE__TITLE": "title",
    "SOURCE__CATEGORIES": "",
    "SOURCE__ITEM_ATTRIBUTES": "[]",
}
ITEMS = "item,title\na,Apple\nb,Bread\n"


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files by name, those that end in .gz compressed."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(content, str) else data)


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """`settings_of(files, **overrides)`: settings over a folder with these files."""

    def make(files: Mapping[str, str | bytes], profile: str = "", **overrides: str) -> Settings:
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        write(folder, files)
        named = ({"NIGHTMILL_PROFILE": profile} if profile else {}) | {
            f"NIGHTMILL_{name}": value for name, value in (({} if profile else PLAIN) | overrides).items()
        }
        places = {"NIGHTMILL_DATA": str(tmp_path / "data"), "NIGHTMILL_SOURCE__LOCATION": str(folder)}
        return load_settings(places | named)

    return make


@pytest.fixture
def read(settings_of: Callable[..., Settings]) -> Callable[..., Raw]:
    """`read(files, **overrides)`: a folder with these files, read; items.csv is there if none is given."""

    def run(files: Mapping[str, str | bytes], profile: str = "", **overrides: str) -> Raw:
        listed = any("item" in name for name in files) or profile
        return tables.read(
            settings_of(files if listed else {"items.csv": ITEMS} | dict(files), profile, **overrides)
        )

    return run


@pytest.fixture
def raw_file(tmp_path: Path) -> Callable[[str, str | bytes], File]:
    """`raw_file(name, content)`: one raw file."""
    from fsspec.implementations.local import LocalFileSystem

    def make(name: str, content: str | bytes) -> File:
        write(tmp_path, {name: content})
        return File(LocalFileSystem(), str(tmp_path / name), name)

    return make


@pytest.fixture
def wanted() -> Callable[..., Wanted]:
    """`wanted("user", "item")`: what the mapping asks of a file."""
    return lambda *columns, **more: Wanted(columns, **more)
