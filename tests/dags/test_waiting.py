from collections.abc import Callable
from typing import Any

POKE = """
from types import SimpleNamespace
from waiting import NothingUnderWaySensor

def poked(**counts):
    asked = []
    def get_dr_count(dag_id, states):
        asked.append([dag_id, states])
        return counts[dag_id]
    sensor = NothingUnderWaySensor(task_id="wait", dags=["nightly", "weekly_training"])
    return [sensor.poke({"ti": SimpleNamespace(get_dr_count=get_dr_count)}), asked]

result = {
    "none": poked(nightly=0, weekly_training=0),
    "one": poked(nightly=0, weekly_training=1),
    "many": poked(nightly=30, weekly_training=0),
}
"""


def test_one_run_of_either_is_waited_for(in_airflow: Callable[..., Any]) -> None:
    found = in_airflow(POKE)
    assert {name: done for name, (done, _) in found.items()} == {"none": True, "one": False, "many": False}
    assert found["many"][1] == [
        ["nightly", ["queued", "running"]],
        ["weekly_training", ["queued", "running"]],
    ]
