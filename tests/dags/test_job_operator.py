from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STAND_IN = """\
#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done > "$SEEN.arguments"
env -0 > "$SEEN.environment"
echo "nightmill: what is wrong and what to do" >&2
exit "$STATUS"
"""
EXECUTE = """
import os
from job_operator import JobOperator

result = {}
os.environ["SEEN"] = os.devnull
for status in ("0", "1", "2", "3", "4", "9"):
    os.environ["STATUS"] = status
    operator = JobOperator(task_id="embed", job="embed", writes=())
    operator.render_template_fields({"ds": "1998-01-07", "params": {}})
    try:
        operator.execute({"outlet_events": {}})
        result[status] = ["", ""]
    except Exception as error:
        result[status] = [type(error).__name__, str(error)]
"""
# The reader of what the stand-in saw, shared by the tests below.
SEEN = """
import os, tempfile
from job_operator import JobOperator

os.environ["STATUS"] = "0"
os.environ["SEEN"] = os.path.join(tempfile.mkdtemp(), "seen")

def seen(options, context):
    operator = JobOperator(task_id="embed", job="embed", **options)
    operator.render_template_fields(context)
    operator.execute({"outlet_events": {}})
    arguments = open(os.environ["SEEN"] + ".arguments", "rb").read().split(b"\\0")[:-1]
    variables = open(os.environ["SEEN"] + ".environment", "rb").read().split(b"\\0")
    return (
        [os.fsdecode(word) for word in arguments],
        dict(os.fsdecode(one).split("=", 1) for one in variables if b"=" in one),
    )
"""
CHOSEN = (
    SEEN
    + """
def chosen(params, **options):
    arguments, variables = seen(options, {"ds": "1998-01-07", "params": params})
    return arguments, {name: value for name, value in variables.items() if name.startswith("NIGHTMILL_")}

for name in list(os.environ):
    if name.startswith("NIGHTMILL_"):
        del os.environ[name]
empty = {"profile": None, "item_prompt_version": None, "budget_tokens": None, "reprocess": False}
full = {"profile": "movielens_1m", "item_prompt_version": 2, "user_prompt_version": 1, "budget_tokens": 0}
result = {
    "nothing": chosen({}),
    "left empty": chosen(empty),
    "all": chosen({**full, "reprocess": True}, shard="2/4", flags=["--fresh"]),
}
"""
)
HOSTILE = (
    SEEN
    + """
import job_operator
from hypothesis import HealthCheck, given, settings, strategies as st

job_operator.published = lambda *args: {}
# What an argument or a variable can hold at all; the operating system refuses NUL.
words = st.text(st.characters(exclude_characters="\\0", exclude_categories=["Cs"]), min_size=1)
planted = st.sampled_from(
    ["; touch p", "$(touch p)", "`touch p`", "' || touch p", '"', "a\\nb", "--x", "{{ 1 + 1 }}"]
)
values = st.one_of(planted, words, st.tuples(planted, words).map("".join))
tried = []

@given(ds=values, profile=values, version=values)
@settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
def never_more_than_one_word(ds, profile, version):
    context = {"ds": ds, "params": {"profile": profile, "item_prompt_version": version, "reprocess": ds}}
    arguments, variables = seen({}, context)
    assert arguments == ["embed", "--ds", ds, "--reprocess"], arguments
    assert variables["NIGHTMILL_PROFILE"] == profile
    assert variables["NIGHTMILL_PROFILES__ITEM_PROMPT_VERSION"] == version
    tried.append(ds)

never_more_than_one_word()
result = [len(tried), sorted(os.listdir("."))]
"""
)
BUDGET = """
import os
from datetime import UTC, datetime, timedelta
import job_operator
from job_operator import JobOperator

os.environ["SEEN"], os.environ["STATUS"] = os.devnull, "4"

def over_budget(ago, incomplete, writes=("items",), shard=""):
    account = {"ds": "d", "run_id": "r", "rows": 7, "finished_at": str(datetime.now(UTC) - ago)}
    account |= {"incomplete": incomplete} if incomplete else {}
    job_operator.published = lambda tables, ds, environment: {table: account for table in tables}
    operator = JobOperator(task_id="embed", job="embed", writes=writes, shard=shard)
    operator.render_template_fields({"ds": "1998-01-07", "params": {}})
    events = {operator.outlets[0]: SimpleNamespace()} if writes else {}
    try:
        return sorted(operator.execute({"outlet_events": events}))
    except Exception as error:
        return type(error).__name__

from types import SimpleNamespace
soon, before = -timedelta(hours=1), timedelta(hours=1)
result = {
    "published": over_budget(soon, "3 rows wait"),
    "a shard": over_budget(before, "", writes=(), shard="1/2"),
    "published before": over_budget(before, "3 rows wait"),
    "whole": over_budget(soon, ""),
    "nothing": over_budget(soon, "", writes=()),
}
"""
CHECK = """
from types import SimpleNamespace
from night_jobs import check_complete

told = {
    "profile_items": {"item_profiles": {"rows": 5, "incomplete": "3 of 8 items wait"}},
    "profile_users": {"user_profiles": {"rows": 5}},
    "propose_categories": None,
}
def checked(*jobs):
    ti = SimpleNamespace(xcom_pull=lambda task_ids: told[task_ids])
    try:
        return check_complete.function(list(jobs), ti=ti)
    except Exception as error:
        return [type(error).__name__, str(error)]

result = [checked("profile_users", "propose_categories"), checked(*told)]
"""
UNFINISHED = """
from datetime import UTC, datetime
from types import SimpleNamespace
from job_operator import refuse_unfinished

def refused(logical, started):
    try:
        refuse_unfinished({"dag_run": SimpleNamespace(logical_date=logical, start_date=started)})
    except Exception as error:
        return [type(error).__name__, str(error)]

midnight, noon = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, 12, tzinfo=UTC)
result = {
    "its day is over": refused(midnight, datetime(2026, 11, 23, tzinfo=UTC)),
    "at noon of its day": refused(midnight, noon),
    "triggered with now": refused(noon, noon),
    "no date": refused(None, midnight),
}
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in for the command, which exits with $STATUS."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nightmill").write_text(STAND_IN)
    (folder / "nightmill").chmod(0o755)
    return folder


def test_exit_codes(in_airflow: Callable[..., Any], path: Path) -> None:
    found = in_airflow(EXECUTE, path)
    assert {status: kind for status, (kind, _) in found.items()} == {
        "0": "",
        "1": "AirflowException",  # tried again
        "2": "AirflowFailException",  # these are not
        "3": "AirflowFailException",
        "4": "AirflowFailException",
        "9": "AirflowException",
    }
    assert found["3"][1] == (
        "`nightmill embed --ds 1998-01-07` exited with 3: nightmill: what is wrong and what to do"
    )


def test_what_was_chosen_reaches_the_command(in_airflow: Callable[..., Any], path: Path) -> None:
    found = in_airflow(CHOSEN, path)
    assert found["nothing"] == [["embed", "--ds", "1998-01-07"], {}]
    assert found["left empty"] == found["nothing"]
    arguments, variables = found["all"]
    assert arguments == ["embed", "--ds", "1998-01-07", "--reprocess", "--fresh", "--shard", "2/4"]
    assert variables == {
        "NIGHTMILL_PROFILE": "movielens_1m",
        "NIGHTMILL_PROFILES__ITEM_PROMPT_VERSION": "2",
        "NIGHTMILL_PROFILES__USER_PROMPT_VERSION": "1",
        "NIGHTMILL_GENERATION__BUDGET__TOKENS": "0",
    }


def test_a_rendered_value_is_one_argument_whatever_is_in_it(
    in_airflow: Callable[..., Any], path: Path
) -> None:
    tried, left = in_airflow(HOSTILE, path)
    assert tried >= 150
    assert "p" not in left


def test_a_day_that_is_not_over_is_refused(in_airflow: Callable[..., Any]) -> None:
    found = in_airflow(UNFINISHED)
    assert found["its day is over"] is None
    kind, said = found["at noon of its day"]
    assert kind == "AirflowFailException"
    assert said.startswith("the day 2026-11-22 was not over")
    assert found["triggered with now"] == found["at noon of its day"]
    assert "no logical date" in found["no date"][1]


def test_a_night_goes_on_with_what_a_budget_was_enough_for(
    in_airflow: Callable[..., Any], path: Path
) -> None:
    assert in_airflow(BUDGET, path) == {
        "published": ["items"],
        "a shard": [],  # the job that publishes finds out whether it is enough
        "published before": "AirflowFailException",
        "whole": "AirflowFailException",
        "nothing": "AirflowFailException",
    }


def test_and_says_so_at_its_end(in_airflow: Callable[..., Any]) -> None:
    assert in_airflow(CHECK) == [None, ["AirflowFailException", "3 of 8 items wait"]]
