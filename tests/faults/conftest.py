"""One cluster for all the faults, with its tables on a small disk of their own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from feature_store.settings import load_settings
from infra.cluster.running import running
from tests.infra.cluster.shop import write_shop

pytest.register_assert_rewrite("tests.faults.harness")

from .harness import Harmed  # noqa: E402

DISK = "256m"


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter.

    With FAULTS_FOLDER it is that one and stays: a next attempt finds the undisturbed nights done.
    """
    kept = os.environ.get("FAULTS_FOLDER")
    made = Path(kept or tempfile.mkdtemp(prefix="nightmill-faults-"))
    made.mkdir(exist_ok=True)
    made.chmod(0o755)
    yield made
    shutil.rmtree(made / "harmed" if kept else made)


@pytest.fixture(scope="session")
def small_disk(folder: Path) -> Iterator[Path]:
    """The data root, with tables/ on a disk of 256 MB that a test may fill. Mounting takes root."""
    tables = folder / "harmed" / "tables"
    tables.mkdir(parents=True)
    assert os.geteuid() == 0, "the fault tests mount a small disk and so need root"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(tables)], check=True)
    yield tables.parent
    subprocess.run(["umount", str(tables)], check=True)


@pytest.fixture(scope="session")
def harmed(folder: Path, small_disk: Path) -> Iterator[Harmed]:
    """A cluster with a made shop and a fake model; at the end no process of it may be left."""
    shop = folder / "shop"
    if not shop.exists():
        write_shop(shop, days=90)
    variables = {
        "NIGHTMILL_DATA": str(small_disk),
        "NIGHTMILL_SOURCE__LOCATION": str(shop),
        "NIGHTMILL_GENERATION__ENGINE": "fake",
        "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
        "NIGHTMILL_ALIGNMENT__PASSES": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with running(load_settings(), "fake", on_schedule=False) as cluster:
            yield Harmed(cluster, small_disk, folder / "whole", dict(os.environ))
        assert psutil.Process().children(recursive=True) == []
