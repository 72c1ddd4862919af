"""Processes of servers: started together, watched together, and all gone when their `with` block ends."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from feature_store.errors import NightmillError

# What every process of a service carries in its environment, whoever its parent has become.
OF_SERVICE = "_NIGHTMILL_SERVICE"
KILL_ROUNDS = 3  # what a killed process had started shows up only after it
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Service:
    """A server: its command and environment.

    user: as whom it runs, None for ourselves. stop_with: the signal that ends it in order. late: whether
    others need it while they are being stopped; they end first, and of the late ones the last started first.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    user: str | None = None
    stop_with: signal.Signals = signal.SIGTERM
    late: bool = False


def airflow_services(env: Mapping[str, str]) -> list[Service]:
    """The api-server, the dag-processor and the scheduler of one Airflow."""
    # No triggerer: no task of these DAGs defers. No log server: the UI reads the logs from the same disk.
    # Jobs that are being stopped still report to the api-server.
    airflow = [sys.executable, "-m", "airflow"]
    return [
        Service("api-server", [*airflow, "api-server"], env, late=True),
        Service("dag-processor", [*airflow, "dag-processor"], env),
        Service("scheduler", [*airflow, "scheduler", "--skip-serve-logs"], env),
    ]


def _stop_with_parent() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Services:
    """The running servers of one home, in the order they were added.

    Each leads a session of its own, so that Ctrl-C reaches only this process, which then stops them in order;
    each is told to stop when this process dies without a word. Whatever they started and lost (a job whose
    task was killed, a model server that a job left for the next one) becomes a child of this process, and
    `stop` ends every child of this process. Linux only.
    """

    def __init__(self, home: Path, lock: int, services: Sequence[Service] = ()) -> None:
        self.home = home
        self.lock = lock
        self.services = {service.name: service for service in services}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            for service in self.services.values():
                self.start(service)
        except BaseException:
            self.stop()
            raise
        return self

    def start(self, service: Service) -> None:
        """Start a service, again if it has run before; its log goes on."""
        self.services[service.name] = service
        with self.log(service.name).open("ab" if service.name in self.processes else "wb") as output:
            self.processes[service.name] = subprocess.Popen(
                service.command,
                env={**service.env, OF_SERVICE: service.name},
                user=service.user,
                group=service.user,
                extra_groups=None if service.user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self.lock,),
                preexec_fn=_stop_with_parent,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log(self, name: str) -> Path:
        """The file a service writes to."""
        return self.home / "logs" / f"{name}.log"

    def check(self) -> None:
        """Raise NightmillError naming the first service that has stopped by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise NightmillError(
                    f"{name} stopped with exit code {process.returncode}; see {self.log(name)}"
                )

    def require_port(self, port: int) -> None:
        """Raise NightmillError unless it is our api-server that listens on a port.

        Whatever else took the port while ours was starting must not be talked to.
        """
        server = psutil.Process(self.processes["api-server"].pid)
        found = [
            connection
            for process in (server, *server.children(recursive=True))
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        ]
        if not found:
            raise NightmillError(f"another program took port {port} while Airflow was starting; run it again")

    def reap(self) -> None:
        """Let those go that the services lost to this process and that have ended: nobody else asks for them.

        They are of the session of a service; what this process started for itself is not.
        """
        own = {process.pid for process in self.processes.values()}
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, ChildProcessError):
                lost = child.pid not in own and os.getsid(child.pid) != os.getsid(0)
                if lost and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    def stop_one(self, name: str, grace_seconds: float = 10.0) -> None:
        """End every process of a service that is still there, those it lost to this process included."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            _send(number, self.of(name), grace_seconds)
        self.processes[name].wait()

    def of(self, name: str) -> list[psutil.Process]:
        """Our descendants but those of other services; some cannot say whose they are."""
        others = {
            p.pid for other, leader in self.processes.items() if other != name for p in _tree(leader.pid)
        }
        found = [child for child in _descendants() if child.pid not in others]
        return [child for child in found if _service_of(child) in (None, name)]

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask every process to stop, the late ones last, then make it; returns when none is left."""
        with _signals_ignored():
            late = [name for name in self.processes if self.services[name].late]
            spared = {self.processes[name].pid for name in late}
            trees = {process.pid for pid in spared for process in _tree(pid)}
            _send(signal.SIGTERM, [c for c in _descendants() if c.pid not in trees], grace_seconds)
            for name in reversed(late):
                tree = _tree(self.processes[name].pid)
                _send(self.services[name].stop_with, tree[:1], grace_seconds, tree)
            for _ in range(KILL_ROUNDS):
                _send(signal.SIGKILL, _descendants(), grace_seconds)
            for process in self.processes.values():
                process.wait()


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _tree(pid: int) -> list[psutil.Process]:
    """A process and what descends from it; nothing where it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _service_of(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error):
        return process.environ().get(OF_SERVICE)
    return None


def _send(
    number: int,
    processes: Sequence[psutil.Process],
    timeout: float,
    awaited: Sequence[psutil.Process] | None = None,
) -> None:
    """Signal processes and wait until they, or those awaited, are gone, at most timeout seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    psutil.wait_procs(processes if awaited is None else awaited, timeout=timeout)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
