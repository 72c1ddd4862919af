"""Where the embedded Airflow lives and how it is configured: one AIRFLOW_HOME under the data root.

`make nightly` and `make airflow` share it, so a night that ran from the command line is green in the UI.
It listens on the loopback interface only and takes every visitor for an administrator; that of `make cluster`
(infra/cluster) knows users. One that people share is configured by those who run it, and needs only the DAG
folder and the pools.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from feature_store.settings import REPOSITORY
from jobs.assets import DATASETS

HOST = "127.0.0.1"
MARK = "_NIGHTMILL_AIRFLOW_HOME"  # how a process that outlived its parents is known
POOLS = {"generation": 1, "spark": 1}


def airflow_home(data_root: Path) -> Path:
    """The AIRFLOW_HOME of a data root, created if missing; NightmillError when it cannot be written."""
    home = data_root.expanduser().resolve() / "airflow"
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NightmillError(
            f"cannot create {home}: {error.strerror}; set NIGHTMILL_DATA to a folder that can be written"
        ) from None
    return home


def environment(home: Path, port: int, environ: Mapping[str, str], *, on_schedule: bool) -> dict[str, str]:
    """The variables every Airflow process of this home is started with.

    Variables of another Airflow on this machine are dropped: its database must never be touched. on_schedule:
    whether the scheduler also starts runs that timetables and assets ask for, or only those it is told to.
    """
    base = f"http://{HOST}:{port}"
    own = {
        MARK: str(home),
        # Titles that processes give themselves would overwrite the variables that say whose they are.
        "SPT_NOENV": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "infra" / "airflow" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # The DAG and its pools say what may run at once; a worker stays busy a little longer than its task.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": base,
        # Made anew at each start and handed on in memory: nothing secret is written to the data root.
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(on_schedule),
        # The next task starts this long after the one before it, at most.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # How late a worker may notice that its task has ended, and how patient it is with a busy machine.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # A scheduler that was killed is not missed for five minutes, as by default, nor a task's worker.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    kept = {name: value for name, value in environ.items() if not _is_dropped(name)}
    path = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "NIGHTMILL_DATA": str(home.parent), **own}


def last_night(settings: Settings) -> dict[str, str]:
    """A variable for the DAGs: a built-in data set never gets another day, so no night starts by itself.

    Yesterday's date is years after its last event. A date before that one may be run, or backfilled.
    """
    return {"_NIGHTMILL_LAST_NIGHT": "2020-12-31"} if settings.source.location in DATASETS else {}


def _is_dropped(name: str) -> bool:
    # Without compiled files every start and every task would compile Airflow anew: twenty seconds, each time.
    return name.startswith("AIRFLOW") or name == "PYTHONDONTWRITEBYTECODE"


def migrate(home: Path, env: Mapping[str, str]) -> None:
    """Create or upgrade the database, once per version of Airflow (it takes ten seconds)."""
    stamp = home / "database-version"
    wanted = version("apache-airflow-core")
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    log = home / "logs" / "migrate.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(command, env=dict(env), stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise NightmillError(
            f"Airflow could not prepare its database in {home} (exit {done.returncode}); see {log}"
        )
    stamp.write_text(wanted, "utf-8")
