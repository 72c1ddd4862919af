"""Where the raw files of a source are: a file, a folder or a glob for each role, in any fsspec location."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fsspec.core import url_to_fs

from feature_store.errors import NightmillError, SettingsError
from feature_store.settings import Settings
from jobs.assets import DATASETS, resolve_dataset

ROLES = ("interactions", "items", "users")
Patterns = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class File:
    """A raw file: its file system, its path there, and a short name for messages and the quarantine."""

    system: Any
    path: str
    name: str

    @property
    def suffix(self) -> str:
        """The ending that says what is in it, that of a compression apart: `.csv` for `a.csv.gz`."""
        path = Path(self.path.lower())
        return path.with_suffix("").suffix if path.suffix in {".gz", ".zst", ".bz2"} else path.suffix

    def open(self) -> IO[bytes]:
        """The file's bytes, as they are stored."""
        try:
            return self.system.open(self.path, "rb")
        except OSError as error:
            raise NightmillError(f"cannot read {self.path}: {error}") from None

    def token(self) -> str:
        """What changes when the file does, without reading it: size and time, or an object store's tag."""
        return str(self.system.ukey(self.path))


def find(settings: Settings, patterns: Patterns) -> dict[str, list[File]]:
    """The raw files by role: interactions and items always, users where the source has them.

    patterns: where a format keeps each role, below source.location; the first that matches a file counts.
    source.interactions, .items and .users go before them. A file plays one role, that of items first.
    """
    source, found = settings.source, dict[str, list[File]]()
    base = _base(settings)
    taken: set[str] = set()
    for role in ("items", "interactions", "users"):
        named = getattr(source, role)
        files = next(
            (f for p in ((named,) if named else patterns[role]) if (f := _match(base, p, taken))), []
        )
        if files:
            found[role] = files
            taken |= {file.path for file in files}
        elif named:
            raise SettingsError(f"source.{role} = {named!r} matches no file below {base}; correct it")
        elif role != "users":
            raise NightmillError(_nothing(base, role, patterns[role]))
    return found


def _base(settings: Settings) -> str:
    """The folder with the raw files; a built-in data set is prepared on first use."""
    source = settings.source
    if source.location in DATASETS:
        return str(resolve_dataset(source.location, settings))
    if not source.location and source.interactions and source.items:
        return ""
    system, path = _system(source.location)
    if not system.isdir(path):
        known = ", ".join(sorted(DATASETS))
        raise NightmillError(
            f"source {path} is not a folder: set source.location to one, or to a built-in set ({known})"
        )
    return source.location.rstrip("/")


def _system(location: str) -> tuple[Any, str]:
    """The file system of a location and the path in it."""
    location = location if "://" in location else str(Path(location).expanduser().absolute())
    try:
        return url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise SettingsError(f"source location {location} cannot be reached: {error}") from None


def _match(base: str, pattern: str, taken: set[str]) -> list[File]:
    """The files of a pattern, in order of their paths: a file, all files of a folder, or those of a glob."""
    alone = "://" in pattern or pattern.startswith(("/", "~")) or not base
    system, path = _system(pattern if alone else f"{base}/{pattern}")
    root = _system(base)[1].rstrip("/") + "/" if base else ""
    if system.isdir(path):
        matches = system.find(path)
    else:
        matches = [path] if system.exists(path) else [p for p in system.glob(path) if system.isfile(p)]
    visible = (p for p in sorted(matches) if p not in taken and not Path(p).name.startswith((".", "_")))
    return [
        File(system, p, p.removeprefix(root) if p.startswith(root) and root else Path(p).name)
        for p in visible
    ]


def _nothing(base: str, role: str, patterns: tuple[str, ...]) -> str:
    with contextlib.suppress(OSError):
        system, path = _system(base)
        there = sorted(Path(p).name for p in system.ls(path, detail=False))
        more = ", ..." if len(there) > 8 else ""
        holds = f"it holds {', '.join(there[:8])}{more}" if there else "it is empty"
        expected = " or ".join(patterns[:3]) + (" ..." if len(patterns) > 3 else "")
        return f"source {base} has no file for {role} ({expected}); {holds}. Name it in source.{role}"
    return f"source {base} has no file for {role}; name it in source.{role}"


def describe(files: list[File]) -> str:
    """A few of the files, for a message."""
    names = ", ".join(file.path for file in files[:3])
    return names + (f" and {len(files) - 3} more" if len(files) > 3 else "")
