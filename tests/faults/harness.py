"""A live cluster to do harm to, and beside it the data root of a command line that nobody harms."""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from feature_store.settings import REPOSITORY
from infra.cluster.running import Cluster
from tests.infra.cluster.shop import Rows, tables

POLL_SECONDS = 0.05
NIGHT_SECONDS = 900.0


def until(
    condition: Callable[[], object], seconds: float = 120.0, check: Callable[[], None] | None = None
) -> None:
    """Return when the condition holds; check is called meanwhile. AssertionError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if check:
            check()
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(POLL_SECONDS)


def signal_all(processes: list[psutil.Process], number: int) -> None:
    """Signal processes, those that have just gone left out."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@dataclass(frozen=True)
class Harmed:
    """The cluster, its data root, and the undisturbed root, in which the same nights run after it."""

    cluster: Cluster
    root: Path
    whole: Path
    environ: Mapping[str, str]

    def start(self, ds: str) -> str:
        """Start a night; returns the run's id."""
        self.cluster.airflow.api.pause(False)
        return self.cluster.airflow.api.start(date.fromisoformat(ds))

    def check(self) -> None:
        """What the command does every second: start again what is gone."""
        self.cluster.supervisor.check()

    def jobs(self, *words: str) -> list[psutil.Process]:
        """The running `nightmill` processes with these words on their command line."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if any(Path(word).name == "nightmill" for word in line[:2]) and set(words) <= set(line):
                    found.append(process)
        return found

    def wait_for_job(self, *words: str) -> psutil.Process:
        """The process of a job as soon as it runs."""
        until(lambda: self.jobs(*words), NIGHT_SECONDS, self.check)
        return self.jobs(*words)[0]

    def finish(self, run: str) -> None:
        """Wait until a night is green; AssertionError with the tasks that are not."""
        api, state = self.cluster.airflow.api, "running"

        def over() -> bool:
            nonlocal state
            # While the database or the api-server is away there is no answer.
            with contextlib.suppress(Exception):
                state = api.state(run)
            return state in {"success", "failed"}

        until(over, NIGHT_SECONDS, self.check)
        wrong = [(task.name, task.state) for task in api.tasks(run) if task.state != "success"]
        assert state == "success", wrong

    def tries(self, run: str) -> dict[str, int]:
        """How often each task of a run was tried."""
        return {task.name: task.tries for task in self.cluster.airflow.api.tasks(run)}

    def by_hand(self, ds: str, root: Path) -> subprocess.Popen[str]:
        """The chain for a date, as somebody would run it by hand."""
        command = [sys.executable, "-m", "jobs.cli", "run", "--ds", ds]
        environ = {**self.environ, "NIGHTMILL_DATA": str(root)}
        return subprocess.Popen(command, cwd=REPOSITORY, env=environ, text=True, stderr=subprocess.PIPE)

    def assert_unharmed(self, *nights: str) -> None:
        """The nights' tables are those of an undisturbed run, nothing is stored twice, nothing is held."""
        for ds in nights:
            process = self.by_hand(ds, self.whole)
            _, said = process.communicate(timeout=NIGHT_SECONDS)
            assert process.returncode == 0, said
        found = tables(self.root)
        assert set(nights) <= {str(ds) for table, ds in found if table == "recommendations"}
        # A kept folder may have later nights, which these cannot know.
        newest = max(str(ds) for _, ds in found)
        wanted = {key: rows for key, rows in tables(self.whole).items() if str(key[1]) <= newest}
        assert different(found, wanted) == []
        assert stored_twice(self.root) == []
        assert self.jobs() == []
        assert held_locks(self.root) == []

    @contextlib.contextmanager
    def changed(self, name: str, **variables: str) -> Iterator[None]:
        """A service started again with other variables, and at the end with its own."""
        supervisor = self.cluster.supervisor
        service = supervisor.services[name]
        supervisor.stop_one(name)
        supervisor.start(replace(service, env={**service.env, **variables}))
        try:
            yield
        finally:
            supervisor.stop_one(name)
            supervisor.start(service)


def different(found: Rows, wanted: Rows) -> list[str]:
    """The partitions that are not alike, with how many rows they have here and there."""
    return [
        f"{table} ds={ds}: {len(found.get((table, ds), []))} rows, {len(wanted.get((table, ds), []))} wanted"
        for table, ds in sorted(found.keys() | wanted.keys())
        if found.get((table, ds)) != wanted.get((table, ds))
    ]


def stored_twice(root: Path) -> list[str]:
    """The keys of answers that are stored more than once."""
    keys = [
        key
        for part in sorted((root / "generations").glob("*/part-*.parquet"))
        for key in pq.read_table(part, columns=["key"])["key"].to_pylist()
    ]
    return sorted({key for key in keys if keys.count(key) > 1})


def held_locks(root: Path) -> list[str]:
    """The lock files of a data root that some process holds."""
    held = []
    for path in filter(Path.is_file, [*(root / "locks").rglob("*"), *(root / "leases").rglob("*")]):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(path.name)
        finally:
            os.close(descriptor)
    return held
