"""`make cluster` with every service but the model server: the tables of the DAG on it, and who is let in."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_store.settings import REPOSITORY

from .shop import tables, write_shop

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]
DS = "1998-01-20"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter, unlike those that pytest makes."""
    made = Path(tempfile.mkdtemp(prefix="nightmill-cluster-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def environ(folder: Path) -> dict[str, str]:
    """A made shop, and a fake model."""
    shop = write_shop(folder / "shop")
    return os.environ | {
        "NIGHTMILL_SOURCE__LOCATION": str(shop),
        "NIGHTMILL_GENERATION__ENGINE": "fake",
        "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
        "NIGHTMILL_ALIGNMENT__PASSES": "2",
    }


@pytest.fixture(scope="module")
def embedded(folder: Path, environ: dict[str, str]) -> Path:
    """The data root of the same night by the command line, on the embedded default."""
    command = [sys.executable, "-m", "jobs.cli", "run", "--ds", DS]
    environ = environ | {"NIGHTMILL_DATA": str(folder / "embedded")}
    subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, capture_output=True)
    return folder / "embedded"


@pytest.fixture(scope="module")
def clustered(folder: Path, environ: dict[str, str]) -> Path:
    """The data root of that night by the DAG on the cluster, which has come and gone."""
    command = [sys.executable, "-m", "infra.cluster.serve", "--engine", "fake", "--dates", DS]
    environ = environ | {"NIGHTMILL_DATA": str(folder / "clustered")}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "clustered"


def test_the_dag_on_the_cluster_makes_the_tables_of_the_embedded_default(
    embedded: Path, clustered: Path
) -> None:
    wanted, found = tables(embedded), tables(clustered)
    assert found.keys() == wanted.keys()
    different = [key for key in wanted if found[key] != wanted[key]]
    assert different == []
    empty = {table for (table, ds), rows in wanted.items() if not rows}
    assert not empty & {"item_features", "user_features", "candidates", "recommendations"}


def test_it_was_this_cluster_that_worked(clustered: Path) -> None:
    logs = clustered / "cluster" / "airflow" / "logs"
    for worker in ("spark-worker-1", "spark-worker-2"):
        assert "Asked to launch executor" in (logs / f"{worker}.log").read_text()
    assert not (clustered / "cluster" / "airflow" / "airflow.db").exists()


def test_secrets_are_in_private_files_and_in_no_log(clustered: Path) -> None:
    cluster = clustered / "cluster"
    files = [cluster / "passwords.json", cluster / "database.json"]
    planted = [secret for file in files for secret in json.loads(file.read_text()).values()]
    for path in filter(Path.is_file, cluster.rglob("*")):
        raw = path.read_bytes()
        if any(secret.encode() in raw for secret in planted):
            assert path in files
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_left_running(folder: Path, clustered: Path) -> None:
    import psutil

    left = []
    for process in psutil.process_iter():
        try:
            named = f"{process.cmdline()} {process.environ()}"
        except psutil.Error:
            continue
        if str(folder) in named and process.pid != os.getpid():
            left.append(process.cmdline())
    assert left == []
