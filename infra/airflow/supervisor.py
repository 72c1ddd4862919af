"""Servers that are started again when they die or fall silent, as an init system would."""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from feature_store.errors import NightmillError
from infra.airflow.services import Service, Services

Probe = Callable[[], bool]
RESTARTS = 5
WITHIN_SECONDS = 600.0
PROBE_EVERY_SECONDS = 10.0
SILENT_SECONDS = 180.0
NEEDED_SECONDS = 60.0


class Supervisor(Services):
    """Services whose `check` starts again what stopped or was not healthy for SILENT_SECONDS.

    Whatever a dead service has left running goes first: two of it must never work side by side. One that
    keeps dying (RESTARTS times within WITHIN_SECONDS) is not started again: `check` raises NightmillError.
    """

    def __init__(self, home: Path, lock: int, services: Sequence[Service] = ()) -> None:
        super().__init__(home, lock, services)
        self.probes: dict[str, Probe] = {}
        self.restarts: dict[str, deque[float]] = {}
        self._healthy: dict[str, float] = {}
        self._probed = time.monotonic()

    def start_healthy(self, service: Service, probe: Probe, seconds: float) -> None:
        """Start a service and return when it is healthy; NightmillError when it is not in time."""
        self.start(service)
        self.await_healthy(service.name, probe, seconds)

    def await_healthy(self, name: str, probe: Probe, seconds: float) -> None:
        """Return when a started service is healthy, which is looked at from then on."""
        deadline = time.monotonic() + seconds
        while not probe():
            self.check_start()
            if time.monotonic() > deadline:
                raise NightmillError(f"{name} was not ready within {seconds:.0f} s; see {self.log(name)}")
            time.sleep(0.2)
        self.probes[name] = probe
        self._healthy[name] = time.monotonic()

    def check_start(self) -> None:
        """Raise NightmillError for a service that stopped: what cannot start is not started again."""
        super().check()

    def check(self) -> None:
        """Start again what needs it; NightmillError for a service that cannot be helped."""
        for name, process in list(self.processes.items()):
            if (code := process.poll()) is not None:
                self._again(name, f"stopped with exit code {code}")
        if time.monotonic() - self._probed < PROBE_EVERY_SECONDS:
            return
        self.reap()
        for name, probe in self.probes.items():
            if probe():
                self._healthy[name] = time.monotonic()
            elif (silent := time.monotonic() - self._healthy[name]) > SILENT_SECONDS:
                self._again(name, f"has not been healthy for {silent:.0f} s")
        self._probed = time.monotonic()

    def _again(self, name: str, why: str) -> None:
        now = time.monotonic()
        recent = self.restarts.setdefault(name, deque())
        while recent and now - recent[0] > WITHIN_SECONDS:
            recent.popleft()
        if len(recent) >= RESTARTS:
            raise NightmillError(
                f"{name} {why}, after {RESTARTS} starts within {WITHIN_SECONDS:.0f} s; see {self.log(name)}"
            )
        recent.append(now)
        print(
            f"nightmill: {name} {why} and is started again; its log: {self.log(name)}",
            file=sys.stderr,
            flush=True,
        )
        self.stop_one(name)
        self.start(self.services[name])
        if self.services[name].late:
            self._await_again(name)
        self._healthy[name] = time.monotonic()

    def _await_again(self, name: str) -> None:
        """Give a service that others need a while to be there, or they would die of its absence once more."""
        deadline = time.monotonic() + NEEDED_SECONDS
        probe = self.probes.get(name, lambda: True)
        while self.processes[name].poll() is None and time.monotonic() < deadline and not probe():
            time.sleep(0.2)
