"""The DAG through Airflow's own scheduler; a stand-in for the `nightmill` command records its calls."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from feature_store.settings import REPOSITORY
from infra.airflow.home import MARK
from jobs.chain import CHAIN
from tests.stand_in_environment import stand_in_environment

pytestmark = pytest.mark.airflow

STAND_IN = """\
#!/bin/sh
echo "$*" >> "$NIGHTMILL_DATA/calls"
case "$*" in
"profile_items --ds 1998-01-08") echo "nightmill: item 7 has no tags" >&2; exit 3 ;;
"ingest --ds 1998-01-09") sleep 300 ;;
esac
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment like this one, whose `nightmill` is the stand-in."""
    return stand_in_environment(tmp_path_factory.mktemp("environment"), STAND_IN)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data root, and so one Airflow, for all these tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def nightly(python: Path, data: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command; afterwards no process of its Airflow may be left."""
    (data / "calls").unlink(missing_ok=True)
    command = [str(python), "-m", "infra.airflow.nightly", "--dates"]
    environ = os.environ | {"NIGHTMILL_DATA": str(data)}

    def start(*dates: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *dates],
            cwd=REPOSITORY,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    yield start
    assert processes_of(data / "airflow") == []


def processes_of(home: Path) -> list[str]:
    """The command lines of what was started for a home and still runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def calls(data: Path) -> list[str]:
    path = data / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_nights_in_order_until_a_gate_refuses(
    nightly: Callable[..., subprocess.Popen[str]], data: Path
) -> None:
    process = nightly("1998-01-07", "1998-01-08", "1998-01-09")
    output, _ = process.communicate(timeout=500)
    first, second = calls(data)[: len(CHAIN)], calls(data)[len(CHAIN) :]

    assert all(call.endswith(" --ds 1998-01-07") for call in first)
    order = [call.split()[0] for call in first]
    assert order[0] == "ingest"
    assert order[-1] == "evaluate"
    # Only the report waits for proposals of categories.
    order.remove("propose_categories")
    chain = [name for name in CHAIN if name != "propose_categories"]
    assert set(order[1:9]) == set(chain[1:9])
    in_a_row = ("profile_items", "embed", "tune", "fit_recall")
    assert sorted(in_a_row, key=order.index) == list(in_a_row)
    assert order[9:] == chain[9:]

    # The refused job was not tried twice, what needs it did not run, and the third date was not begun.
    assert sorted(second) == [
        f"{job} --ds 1998-01-08" for job in ("ingest", "profile_items", "profile_users")
    ]
    assert process.returncode == 1
    # Besides jobs: the shards of two that need it, and the task that would see whether all is complete.
    assert (
        f"profile_items failed for 1998-01-08; {len(CHAIN) - 3 + 3} tasks that need it did not run" in output
    )
    assert "    it said: nightmill: item 7 has no tags" in output
    assert "    command: nightmill profile_items --ds 1998-01-08" in output


def test_a_signal_in_mid_run_stops_everything(
    nightly: Callable[..., subprocess.Popen[str]], data: Path
) -> None:
    process = nightly("1998-01-07", "1998-01-09")
    deadline = time.monotonic() + 400
    while "ingest --ds 1998-01-09" not in calls(data) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert len(calls(data)) == len(CHAIN) + 1  # the date that had run before ran again, whole
