"""Named locks between processes, on one machine or on several that share a data root.

    <data>/locks/<name>.lock    whoever holds it, as JSON: pid, host, since

A lock is the kernel's `flock` on the file, not the file. The stale-lock rule: there is no stale lock. The
kernel frees it when its holder ends, however it ends; a file that is left without a holder means nothing, and
what it says is about the past. Nobody has to remove it, and removing it under a holder would let two in.
"""

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

# Of the two locks of `alone`: the queue in front of it, and the thing itself.
NEXT, ALONE = "next-alone", "alone"


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock, and since when."""

    pid: int
    host: str
    since: str

    @classmethod
    def this(cls) -> "Holder":
        """This process, from now on."""
        return cls(os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, which has held it since {self.since}"


@contextmanager
def locked(path: Path, who: str = "") -> Iterator[None]:
    """Hold the lock of a file, waiting until it is free.

    who: what wants it; where it has to wait it says so on stderr, and for whom. Without it the wait is
    silent, as becomes a lock that is held for milliseconds.
    """
    descriptor = _open(path)
    try:
        if not try_lock(descriptor):
            if who:
                _say_who_holds(descriptor, path, who)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_company(folder: Path, who: str) -> Iterator[None]:
    """Work beside others, but not beside anybody who is `alone` in the folder: that one is waited for."""
    with _shared(folder / f"{NEXT}.lock", who):
        pass  # whoever wants to be alone goes before those who come later, and so gets its turn
    with _shared(folder / f"{ALONE}.lock", who):
        yield


@contextmanager
def alone(folder: Path, who: str) -> Iterator[None]:
    """Work while nobody works `in_company`: waits for those who do, and those who come later wait for it."""
    with locked(folder / f"{NEXT}.lock"):
        descriptor = _open(folder / f"{ALONE}.lock")
        try:
            if not try_lock(descriptor):
                # They are many, and the file does not say who.
                print(
                    f"nightmill: {who} waits until the jobs at work have ended", file=sys.stderr, flush=True
                )
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _shared(path: Path, who: str) -> Iterator[None]:
    descriptor = _open(path)
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            _say_who_holds(descriptor, path, who)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of a file if nobody else does; yields whether it is held."""
    descriptor = _open(path)
    try:
        if free := try_lock(descriptor):
            _sign(descriptor)
        yield free
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock's file, not truncated: it says who holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(Holder.this())).encode(), 0)


def try_lock(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file unless another process holds it."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say_who_holds(descriptor: int, path: Path, who: str) -> None:
    try:
        holder = str(Holder(**json.loads(os.pread(descriptor, 4096, 0))))
    except (ValueError, TypeError):
        # It took the lock a moment ago and has not written its name yet.
        holder = "another process"
    print(f"nightmill: {who} waits for the lock {path.stem} of {holder}", file=sys.stderr, flush=True)
