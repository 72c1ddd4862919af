"""A running Airflow with the DAG known and its pools there: what both commands are built on."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from infra.airflow.api import AirflowApi
from infra.airflow.home import HOST, POOLS, airflow_home, environment, last_night, migrate
from infra.airflow.lock import locked
from infra.airflow.port import reserved_port
from infra.airflow.services import Services, airflow_services
from infra.airflow.supervisor import Supervisor


class Stopped(BaseException):
    """SIGINT or SIGTERM has arrived; like KeyboardInterrupt not an Exception."""

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
def running(settings: Settings, *, on_schedule: bool) -> Iterator[Airflow]:
    """Start Airflow for the data root of the settings and stop all of it at the end, whatever happens.

    on_schedule: whether timetables and assets start runs too (of a DAG that is not paused). A service that
    dies is started again: on SQLite a scheduler whose transaction met another's can lose a run it has just
    made, and ends with ObjectDeletedError.
    """
    begin = time.monotonic()
    home = airflow_home(settings.data_root)
    with locked(home) as held, reserved_port() as port:
        env = environment(home, port, os.environ, on_schedule=on_schedule)
        env |= last_night(settings) if on_schedule else {}
        migrate(home, env)
        with (
            Supervisor(home, held, airflow_services(env)) as services,
            AirflowApi(f"http://{HOST}:{port}") as api,
        ):
            api.wait_until_ready(services.check_start)
            services.require_port(port)
            api.ensure_pools(POOLS)
            yield Airflow(api, services, f"http://{HOST}:{port}", home, time.monotonic() - begin)


def exit_code_of(work: Callable[[], None]) -> int:
    """Do the work of a command; one line instead of a traceback for an error that a person can act on.

    SIGINT and SIGTERM are raised as Stopped inside the work, so that every `with` block is left in order.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        work()
    except NightmillError as error:
        print(f"nightmill: {error}", file=sys.stderr)
        return error.exit_code
    except Stopped as stopped:
        print(
            f"nightmill: {stopped}: everything is stopped; the same command goes on from here",
            file=sys.stderr,
        )
        return stopped.exit_code
    return 0
