"""All services of one machine, started in order, healthy, and gone at the end."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from feature_store.sections import Settings
from infra.airflow.api import AirflowApi
from infra.airflow.home import HOST, POOLS, airflow_home, environment, last_night, migrate
from infra.airflow.lock import locked
from infra.airflow.port import reserved_port
from infra.airflow.running import Airflow
from infra.airflow.services import airflow_services
from infra.airflow.supervisor import Supervisor
from infra.cluster.model import ModelServer
from infra.cluster.passwords import passwords
from infra.cluster.postgres import Postgres
from infra.cluster.spark import SparkCluster

# Airflow's roles: who may do everything, who runs nights, who looks.
USERS = {"admin": "ADMIN", "operator": "OP", "viewer": "VIEWER"}
FIRST_PORTS = {"postgres": 5440, "spark": 7077, "spark page": 8180, "model": 8200}
MODEL_START_SECONDS = 600.0


@dataclass(frozen=True)
class Cluster:
    """The running services, and the files with what is needed to enter."""

    airflow: Airflow
    supervisor: Supervisor
    postgres: Postgres
    spark: SparkCluster
    model: ModelServer | None
    passwords: Path
    seconds_to_start: float


@contextmanager
def running(settings: Settings, engine: str, host: str = HOST, *, on_schedule: bool) -> Iterator[Cluster]:
    """Start PostgreSQL, Spark, the model server and Airflow for the data root of the settings.

    engine: "http" for a model server of our own, else what NIGHTMILL_GENERATION__ENGINE is to be. host:
    where Airflow listens; all else stays on the loopback. on_schedule: whether timetables and assets
    start runs.
    """
    begin = time.monotonic()
    root = settings.data_root.expanduser().resolve()
    folder = root / "cluster"
    home = airflow_home(folder)
    with ExitStack() as stack:
        held = stack.enter_context(locked(home))
        port = stack.enter_context(reserved_port())
        ports = {name: stack.enter_context(reserved_port(first)) for name, first in FIRST_PORTS.items()}
        postgres, spark, model = _parts(settings, folder, engine, ports)
        env = _environment(home, port, host, postgres, on_schedule)
        env |= last_night(settings) if on_schedule else {}
        env |= {"NIGHTMILL_DATA": str(root), "NIGHTMILL_GENERATION__ENGINE": engine} | spark.for_jobs()
        supervisor = stack.enter_context(Supervisor(home, held))
        _start_backends(supervisor, env, postgres, spark, model)
        migrate(home, env)
        env |= model.for_jobs() if model else {}
        for service in airflow_services(env):
            supervisor.start(service)
        login = ("admin", passwords(folder / "passwords.json", USERS)["admin"])
        api = stack.enter_context(AirflowApi(f"http://{HOST}:{port}", login=login))
        api.wait_until_ready(supervisor.check)
        supervisor.require_port(port)
        api.ensure_pools(POOLS)
        supervisor.await_healthy("api-server", api.healthy, 60.0)
        if model:
            supervisor.await_healthy("model-server", model.healthy, MODEL_START_SECONDS)
        seconds = time.monotonic() - begin
        airflow = Airflow(api, supervisor, f"http://{host}:{port}", home, seconds)
        yield Cluster(airflow, supervisor, postgres, spark, model, folder / "passwords.json", seconds)


def _parts(
    settings: Settings, folder: Path, engine: str, ports: Mapping[str, int]
) -> tuple[Postgres, SparkCluster, ModelServer | None]:
    password = passwords(folder / "database.json", ["postgres"])["postgres"]
    postgres = Postgres(folder / "postgres", ports["postgres"], password)
    spark = SparkCluster(folder / "spark", ports["spark"], ports["spark page"])
    model = ModelServer(settings, ports["model"]) if engine == "http" else None
    return postgres, spark, model


def _start_backends(
    supervisor: Supervisor,
    env: Mapping[str, str],
    postgres: Postgres,
    spark: SparkCluster,
    model: ModelServer | None,
) -> None:
    """What Airflow and its jobs need; the model loads while the rest starts."""
    if postgres.prepare():
        (supervisor.home / "database-version").unlink(missing_ok=True)  # it spoke of another database
    spark.prepare()
    bare = {name: value for name, value in env.items() if not name.startswith("AIRFLOW__")}
    supervisor.start_healthy(postgres.service(bare), postgres.healthy, 60.0)
    postgres.create_database()
    for service in spark.services(bare):
        supervisor.start(service)
    if model:
        supervisor.start(model.service(bare))
    supervisor.await_healthy("spark-master", spark.healthy, 90.0)


def _environment(home: Path, port: int, host: str, postgres: Postgres, on_schedule: bool) -> dict[str, str]:
    """What Airflow is started with: as the embedded one, but with users, passwords and PostgreSQL."""
    kept = passwords(home.parent / "passwords.json", USERS)
    assert kept.keys() >= USERS.keys()
    return environment(home, port, os.environ, on_schedule=on_schedule) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.parent / "passwords.json"),
        "AIRFLOW__API__HOST": host,
        "AIRFLOW__API__BASE_URL": f"http://{host}:{port}",
    }
