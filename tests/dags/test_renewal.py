from typing import Any


def test_it_begins_when_a_night_is_complete_and_waits_for_all_of_them(dags: dict[str, Any]) -> None:
    dag = dags["renewal"]
    assert dag["begun_by"] == ["nights"]
    assert not dag["starts_paused"]
    assert dag["max_active_runs"] == 1
    assert dag["tasks"]["wait_for_nights"]["waits_for"] == ["nightly", "weekly_training"]
    assert dag["tasks"]["renew"]["upstream"] == ["wait_for_nights"]


def test_it_does_not_begin_itself(dags: dict[str, Any]) -> None:
    outlets = [asset for task in dags["renewal"]["tasks"].values() for asset in task["outlets"]]
    assert outlets == [["renewed tables", None]]  # an alias: which tables, only the run can say
