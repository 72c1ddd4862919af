from typing import Any


def test_once_a_day_between_nights(dags: dict[str, Any]) -> None:
    assert dags["maintenance"]["next"][1] == "1998-01-06 12:00:00+00:00"


def test_one_task_cannot_hide_that_the_other_failed(dags: dict[str, Any]) -> None:
    tasks = dags["maintenance"]["tasks"]
    assert {name: task["command"][:2] for name, task in tasks.items()} == {
        "compact": ["nightmill", "compact"],
        "gc": ["nightmill", "gc"],
    }
    assert [task["upstream"] for task in tasks.values()] == [[], []]
