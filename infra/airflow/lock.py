"""One Airflow a home: two schedulers on one database would run everything twice."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from feature_store.errors import NightmillError
from feature_store.locks import try_lock
from infra.airflow.home import MARK


@contextmanager
def locked(home: Path, wait_seconds: float = 30.0) -> Iterator[int]:
    """Hold the lock of a home; yields the descriptor that holds it, for the services to inherit.

    So the lock outlives an owner that was killed until its services are gone too. They are stopped here, with
    the jobs they run: nobody watches them any more. NightmillError when the owner is alive.
    """
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not try_lock(descriptor):
            owner = _owner(descriptor)
            if owner or time.monotonic() > deadline:
                who = f"process {owner}" if owner else "a process that does not stop"
                raise NightmillError(
                    f"{home} is in use by `make nightly`, `airflow` or `cluster` ({who}); stop it first"
                )
            stop_leftovers(home)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        stop_leftovers(home)
        yield descriptor
    finally:
        os.close(descriptor)


def _owner(descriptor: int) -> int | None:
    """The process that took the lock, if it is alive."""
    text = os.pread(descriptor, 32, 0).decode()
    return int(text) if text and psutil.pid_exists(int(text)) else None


def stop_leftovers(home: Path, grace_seconds: float = 5.0) -> None:
    """Stop every process that was started for this home by an Airflow that is no more."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(home) and process.pid != os.getpid():
                found |= {process, *process.children(recursive=True)}
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                send(process)
        _, found = map(set, psutil.wait_procs(found, timeout=grace_seconds))
