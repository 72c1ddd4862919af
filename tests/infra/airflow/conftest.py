"""A made shop, what `nightmill backfill` makes of it, and the Airflow of `make airflow` on it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from feature_store.settings import REPOSITORY
from infra.airflow.api import AirflowApi
from tests.infra.airflow.made_shop import write_shop
from tests.infra.airflow.served import DATES, Served, Shop
from tests.infra.airflow.warm_command import warm_command

# A night of the shop learns from the nights before it, and is judged by the next.
SETTINGS = {
    "GENERATION__ENGINE": "fake",
    "PROFILES__ITEM_MIN_EVENTS": "5",
    # Texts that are embedded together change the last bits of each other's vectors.
    "EMBEDDING__BATCH_SIZE": "1",
    "ALIGNMENT__PASSES": "3",
    "RANKER__HORIZON_DAYS": "1",
    "RANKER__WINDOWS": "2",
    "RANKER__MIN_GROUPS": "5",
    "RANKER__MIN_DATA_IN_LEAF": "5",
    "RANKER__ROUNDS": "20",
    "RANKER__TRIALS": "0",
    "EVALUATE__HORIZON_DAYS": "1",
    "SPARK__SHUFFLE_PARTITIONS": "1",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, its nights published in order by `nightmill backfill` in the data root `by_hand`."""
    folder = tmp_path_factory.mktemp("shop")
    location = str(write_shop(folder / "source"))
    variables = {f"NIGHTMILL_{name}": value for name, value in SETTINGS.items()}
    variables |= {
        "NIGHTMILL_SOURCE__LOCATION": location,
        "OMP_NUM_THREADS": "1",
        # The shop has no yesterday.
        "_NIGHTMILL_LAST_NIGHT": "1998-02-01",
    }
    with warm_command(folder / "environment", variables) as python:
        made = Shop(python, variables, folder / "data", folder / "by-hand")
        made.nightmill("backfill", "--from", str(DATES[0]), "--to", str(DATES[-1]), root=made.by_hand)
        yield made


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[Served]:
    """`make airflow` on the shop; afterwards it ends as it does for Ctrl-C."""
    process = subprocess.Popen(
        [str(shop.python), "-m", "infra.airflow.serve"],
        cwd=REPOSITORY,
        env=os.environ | shop.variables | {"NIGHTMILL_DATA": str(shop.root)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said: list[str] = []
    ready = None
    while ready is None and (line := process.stdout.readline()):
        said.append(line)
        ready = re.match(r"(http://127\.0\.0\.1:\d+)/dags/nightly is ready", line)
    try:
        assert ready, "".join(said)
        with AirflowApi(ready[1]) as api:
            api.wait_until_ready(lambda: None)
            yield Served(ready[1], api)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
