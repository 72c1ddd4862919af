"""Readers' leases: what keeps garbage collection away from files that somebody still reads.

    <data>/leases/<pid>-<random>    locked by its reader from before its first pointer to after its last file

A lease began when its file was made, and it lives while the file is locked: the kernel frees the lock of a
reader that dies (feature_store/locks.py). Moments are times of change of files, in nanoseconds: they come
from the one clock of the file system that also dates the pointers, whatever the clocks of machines say.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_store.locks import try_lock


@contextmanager
def lease(folder: Path) -> Iterator[int]:
    """Hold a lease; yields the moment it began."""
    folder.mkdir(parents=True, exist_ok=True)
    path, descriptor = _take(folder)
    try:
        yield os.fstat(descriptor).st_mtime_ns
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _take(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        # A collection that came upon the file before it was locked has taken it for a dead reader's.
        if try_lock(descriptor) and path.exists():
            return path, descriptor
        os.close(descriptor)


def oldest(folder: Path) -> int | None:
    """The moment the oldest living lease began, or None; the leases of dead readers are removed."""
    living = [began for path in folder.glob("*") if (began := _began(path)) is not None]
    return min(living, default=None)


def _began(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not try_lock(descriptor):
            return os.fstat(descriptor).st_mtime_ns
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)
