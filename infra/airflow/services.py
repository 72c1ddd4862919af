"""Airflow's processes: started together, watched together, and all gone when their `with` block ends."""

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from feature_store.errors import NightmillError

# No triggerer: no task of these DAGs defers. No log server: the UI reads the logs from the same disk.
COMMANDS = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
}
KILL_ROUNDS = 3  # what a killed process had started shows up only after it
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None)


def _stop_with_parent() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Services:
    """The api-server, the dag-processor and the scheduler of one Airflow home.

    Each leads a session of its own, so that Ctrl-C reaches only this process, which then stops them in order;
    each is told to stop when this process dies without a word. Whatever they started and lost (a job whose
    task was killed, a model server that a job left for the next one) becomes a child of this process, and
    `stop` ends every child of this process. Linux only.
    """

    def __init__(self, home: Path, env: Mapping[str, str], lock: int) -> None:
        self.home = home
        self.env = dict(env)
        self.lock = lock
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            for name, command in COMMANDS.items():
                self.processes[name] = self._start(name, command)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log(name).open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self.env,
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
                    f"Airflow's {name} stopped with exit code {process.returncode}; see {self.log(name)}"
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

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask every process to stop, then make it; returns when none is left.

        The api-server goes last: jobs that are being stopped still report to it.
        """
        with _signals_ignored():
            server = self.processes.get("api-server")
            spared = {server.pid} if server else set()
            self._send(signal.SIGTERM, spared, grace_seconds)
            self._send(signal.SIGTERM, set(), grace_seconds)
            for _ in range(KILL_ROUNDS):
                self._send(signal.SIGKILL, set(), grace_seconds)
            for process in self.processes.values():
                process.wait()

    def _send(self, number: int, spared: set[int], timeout: float) -> int:
        """Signal every descendant but the spared and wait for them; returns how many there were."""
        found = [child for child in psutil.Process().children(recursive=True) if child.pid not in spared]
        for child in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        psutil.wait_procs(found, timeout=timeout)
        return len(found)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
