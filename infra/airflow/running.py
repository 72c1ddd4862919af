"""A running Airflow with the DAG known and its pools there: what both commands are built on."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.airflow.api import AirflowApi
from infra.airflow.home import HOST, POOLS, airflow_home, environment, free_port, lock, migrate
from infra.airflow.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from feature_store.sections import Settings


class Stopped(BaseException):
    """SIGTERM or SIGINT: leave every `with` block, then exit. Like KeyboardInterrupt, not an Exception."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@dataclass(frozen=True)
class Airflow:
    """A running Airflow."""

    api: AirflowApi
    services: Services
    url: str
    home: Path
    seconds_to_start: float


@contextmanager
def running(
    settings: Settings, *, on_schedule: bool, environ: Mapping[str, str] | None = None
) -> Iterator[Airflow]:
    """Start Airflow for the data root of the settings and stop all of it at the end, whatever happens.

    on_schedule: whether the timetable starts runs too (for a DAG that is not paused).
    """
    begin = time.monotonic()
    home = airflow_home(settings.data_root)
    held = lock(home)
    try:
        port = free_port()
        env = environment(home, port, os.environ if environ is None else environ, on_schedule=on_schedule)
        with _stoppable():
            migrate(home, env)
            with Services(home, env, held) as services:
                api = AirflowApi(f"http://{HOST}:{port}")
                api.wait_until_ready(services.check)
                api.ensure_pools(POOLS)
                yield Airflow(api, services, f"http://{HOST}:{port}", home, time.monotonic() - begin)
                api.close()
    finally:
        os.close(held)


@contextmanager
def _stoppable() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
