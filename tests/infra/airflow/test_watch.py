from datetime import date

import pytest

from infra.airflow.api import AirflowApi, TaskState
from infra.airflow.watch import Watch

DS = date(1998, 1, 7)


class ApiWithLogs(AirflowApi):
    """An Airflow that knows one log."""

    def log(self, run: str, task: str, attempt: int, index: int = -1) -> list[str]:
        return [f"{run} {task} {attempt}: line {n}" for n in range(1, 21)]


@pytest.fixture
def watch() -> Watch:
    return Watch(ApiWithLogs("http://airflow"), [DS])


def test_a_line_for_each_finished_task_once(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    watch.update(DS, "run", [TaskState("ingest", "running", 1, None), TaskState("embed", "waiting", 0, None)])
    for _ in range(2):
        watch.update(
            DS, "run", [TaskState("ingest", "success", 1, 2.04), TaskState("embed", "running", 1, None)]
        )
    assert capsys.readouterr().out.split() == ["1998-01-07", "ingest", "success", "2.0", "s"]


def test_every_try_is_shown(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    watch.update(DS, "run", [TaskState("embed", "up_for_retry", 1, 1.0)])
    watch.update(DS, "run", [TaskState("embed", "failed", 2, 3.0)])
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["up", "failed"]


def test_a_failure_shows_the_end_of_the_log_and_what_did_not_run(watch: Watch) -> None:
    tasks = [TaskState("embed", "failed", 2, 3.0), TaskState("recommend", "upstream_failed", 0, None)]
    watch.update(DS, "run", tasks)
    first, *rest = watch.failure(DS, "run").splitlines()
    assert first == "embed failed for 1998-01-07; 1 task that needs it did not run. Its log ends:"
    assert rest == [f"    run embed 2: line {n}" for n in range(11, 21)]
