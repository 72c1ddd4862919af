from collections.abc import Callable
from typing import Any

import pytest

EXPLAIN = """
import logging
from datetime import timedelta
from types import SimpleNamespace as Some
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
from failures import explanation, say_what_to_do

def explained(error, code=None, said="", tries=(1, 3), **task):
    task = {"task_id": "profile_items", **task}
    task["environment"] = {"NIGHTMILL_PROFILE": "a b", "NIGHTMILL_X": ""}
    task["execution_timeout"] = timedelta(hours=3)
    task.setdefault("command", ["nightmill", "profile_items", "--ds", "1998-01-08", ""])
    context = {
        "task": Some(result=code and Some(exit_code=code, output=said), **task),
        "ti": Some(try_number=tries[0], max_tries=tries[1] - 1),
        "dag_run": Some(run_id="backfill__1998-01-08"),
        "ds": "1998-01-08",
        "exception": error,
    }
    return explanation(context), context

fail, again = AirflowFailException("exited"), AirflowException("exited")
cases = {
    "gate": explained(fail, 3, "nightmill: item 7 has no tags"),
    "settings": explained(fail, 2, "nightmill: unknown setting x"),
    "many lines": explained(ValueError("one\\ntwo")),
    "budget": explained(fail, 4, "nightmill: 12 rows wait"),
    "failed": explained(again, 1, "nightmill: the server is away"),
    "last": explained(again, 1, "nightmill: the server is away", (3, 3)),
    "killed": explained(again, -9, "   12 of 30"),
    "timeout": explained(AirflowTaskTimeout("Timeout, PID: 7")),
    "shard": explained(again, 1, "x", shard="2/4", command=["nightmill", "profile_items", "--shard", "2/4"]),
    "no command": explained(ValueError("a defect"), command=None),
}
from job_operator import JobOperator
task = JobOperator(task_id="embed", job="embed", retries=2)
_, context = explained(ValueError("x"))
context |= {"task": task, "params": {"profile": "movielens_1m"}}
del context["exception"]
cases["lost"] = explanation(context), context

class Lines(logging.Handler):
    def emit(self, record):
        self.lines.append(record.getMessage())
handler = Lines()
handler.lines = []
logging.getLogger("failures").addHandler(handler)
say_what_to_do(cases["gate"][1])
result = {name: lines for name, (lines, _) in cases.items()} | {"logged": handler.lines}
"""


@pytest.fixture(scope="module")
def said(in_airflow: Callable[..., Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = in_airflow(EXPLAIN)
    return found


def test_a_gate(said: dict[str, list[str]]) -> None:
    lines = said["gate"]
    assert lines[:4] == [
        "profile_items failed for ds=1998-01-08 (run backfill__1998-01-08), try 1 of 3",
        "reason: a quality gate refused to publish (exit code 3)",
        "it said: nightmill: item 7 has no tags",
        "tried again: no, a second try would meet the same",
    ]
    assert lines[5] == "command: NIGHTMILL_PROFILE='a b' nightmill profile_items --ds 1998-01-08"
    assert lines[-1].endswith("/nightmill/data-docs/")


def test_all_of_it_is_in_the_last_ten_lines(said: dict[str, list[str]]) -> None:
    assert {name for name, lines in said.items() if len(lines) > 9} == set()
    # What the UI folds ends before them.
    assert said["logged"] == ["::endgroup::", *said["gate"]]


def test_each_is_one_line(said: dict[str, list[str]]) -> None:
    assert said["many lines"][2] == "it said: one two"


def test_what_comes_next(said: dict[str, list[str]]) -> None:
    assert "`budget_tokens`" in said["budget"][4]
    assert said["settings"][4] == "next: mend the setting or the parameter it names"
    assert said["failed"][3] == "tried again: yes, by itself, 2 more times at most"
    assert said["last"][3] == "tried again: no, that was the last try"


def test_ends_that_are_no_exit_codes(said: dict[str, list[str]]) -> None:
    assert said["killed"][1] == "reason: SIGKILL ended it; often the machine was short of memory"
    assert said["timeout"][1] == "reason: it ran longer than 3:00:00 and was stopped"
    assert said["timeout"][3].startswith("tried again: yes")
    assert said["no command"][1:3] == ["reason: ValueError", "it said: a defect"]
    assert not [line for line in said["no command"] if line.startswith("command")]


def test_a_process_that_was_lost(said: dict[str, list[str]]) -> None:
    assert said["lost"][1:3] == [
        "reason: its process was killed, or its machine was lost",
        "it said: nothing",
    ]
    assert said["lost"][5] == "command: NIGHTMILL_PROFILE=movielens_1m nightmill embed --ds 1998-01-08"


def test_a_shard_is_named(said: dict[str, list[str]]) -> None:
    assert said["shard"][0].startswith("profile_items (shard 2/4) failed")
    assert said["shard"][5].endswith("nightmill profile_items --shard 2/4")


@pytest.mark.airflow
def test_of_a_line_for_programs_the_message_is_shown(in_airflow: Callable[..., Any]) -> None:
    lines = ['{"level": "error", "message": "nightmill: x"}', "nightmill: x", '"text"', "[1]", "{}"]
    found = in_airflow(f"from failures import message_of\nresult = [message_of(line) for line in {lines!r}]")
    assert found == ["nightmill: x", *lines[1:]]
