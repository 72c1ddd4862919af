"""A night in which tasks are killed, doubled, out of disk, and on machines whose clocks are wrong."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from feature_store.errors import NightmillError
from infra.airflow.api import TaskState

from .harness import Harmed, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]
DS = "1998-01-13"
# Some jobs two hours ahead, some two hours behind; Airflow and PostgreSQL have the right time.
AHEAD_AND_BEHIND = """\
#!/bin/sh
case "$1" in profile_users|build_features|recommend) clock=-2h ;; *) clock=+2h ;; esac
export LD_PRELOAD={library} FAKETIME="$clock" FAKETIME_DONT_FAKE_MONOTONIC=1
echo "$1 $(date -u +%s)" >> {clocks}
exec {nightmill} "$@"
"""


def test_killed_tasks_a_full_disk_doubled_runs_and_wrong_clocks_in_one_night(
    harmed: Harmed, tmp_path: Path
) -> None:
    with wrong_clocks(harmed, tmp_path):
        run = harmed.start(DS)
        harmed.wait_for_job("ingest", DS).kill()

        harmed.wait_for_job("profile_users", DS)
        assert "No space left on device" in log_of_a_task_on_a_full_disk(harmed, run)

        # Airflow's process of a task dies and its job lives on: the next try meets it at work.
        job = harmed.wait_for_job("embed", DS)
        parent = job.parent()
        assert parent is not None
        parent.kill()
        assert job.is_running()

        hands = triggered_twice_by_hand(harmed)
        harmed.finish(run)
    for hand in hands:
        _, said = hand.communicate(timeout=600)
        assert hand.returncode == 0, said
    tries = harmed.tries(run)
    assert tries["ingest"] == 2
    assert tries["embed"] >= 2  # once more where the disk was full for it too
    told = dict(line.split() for line in (tmp_path / "clocks").read_text().splitlines())
    assert int(told["fit_recall"]) - int(told["recommend"]) > 3 * 3600
    harmed.assert_unharmed(DS)


@contextmanager
def wrong_clocks(harmed: Harmed, folder: Path) -> Iterator[None]:
    """Jobs, and one of the two Spark workers, whose clocks are two hours off."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "this test sets clocks by libfaketime: sudo apt-get install -y faketime"
    path = harmed.cluster.supervisor.services["scheduler"].env["PATH"]
    script, real = folder / "nightmill", shutil.which("nightmill", path=path)
    script.write_text(AHEAD_AND_BEHIND.format(library=found[0], clocks=folder / "clocks", nightmill=real))
    script.chmod(0o755)
    behind = {"LD_PRELOAD": str(found[0]), "FAKETIME": "-2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with (
        harmed.changed("scheduler", PATH=f"{folder}:{path}"),
        harmed.changed("spark-worker-1", **behind),
    ):
        yield


def log_of_a_task_on_a_full_disk(harmed: Harmed, run: str) -> str:
    """Fill the disk of the tables until a task has failed of it; returns its log."""
    filler = harmed.root / "tables" / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    try:
        until(lambda: to_be_retried(harmed, run), 300, harmed.check)
        failed = to_be_retried(harmed, run)
    finally:
        filler.unlink()
    api = harmed.cluster.airflow.api
    return "\n".join(line for task in failed for line in api.log(run, task.name, task.tries, task.index))


def to_be_retried(harmed: Harmed, run: str) -> list[TaskState]:
    """The tasks of a run that wait for their next try."""
    return [task for task in harmed.cluster.airflow.api.tasks(run) if task.state == "up_for_retry"]


def triggered_twice_by_hand(harmed: Harmed) -> list[subprocess.Popen[str]]:
    """The date of a run that is under way: Airflow refuses it, the command line works on it twice."""
    for _ in range(2):
        asked = {"logical_date": f"{DS}T00:00:00Z"}
        with pytest.raises(NightmillError, match="409"):
            harmed.cluster.airflow.api.call("POST", "dags/nightly/dagRuns", asked)
    return [harmed.by_hand(DS, harmed.root) for _ in range(2)]
