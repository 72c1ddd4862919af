"""What the forms accept: checked by the very schemas Airflow checks, in the very DAGs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import FormatChecker
from jsonschema.validators import validator_for

from feature_store.settings import REPOSITORY, load_settings

SCHEMAS = """
import os
from airflow.dag_processing.dagbag import DagBag

result = {
    dag.dag_id: {name: {"value": dag.params.get_param(name).value, **dag.params.get_param(name).schema}
                 for name in dag.params}
    for dag in DagBag(os.environ["PYTHONPATH"]).dags.values()
}
"""
HOSTILE = [
    "; rm -rf /",
    "$(touch x)",
    "`id`",
    "' OR 1",
    '"',
    "a\nb",
    "--shard",
    "../../etc/passwd",
    "{{ ds }}",
    "",
]


@pytest.fixture(scope="module")
def schemas(in_airflow: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = in_airflow(SCHEMAS)
    return found


def allowed(schema: dict[str, Any], value: Any) -> bool:
    return bool(validator_for(schema)(schema, format_checker=FormatChecker()).is_valid(value))


def test_choices_are_those_that_exist(schemas: dict[str, Any]) -> None:
    nightly = schemas["nightly"]
    profiles = {path.stem for path in (REPOSITORY / "infra" / "settings").glob("*.toml")} - {"default"}
    assert set(nightly["profile"]["enum"]) == {None, *profiles}
    for name, prompt in (("item_prompt_version", "profile_item"), ("user_prompt_version", "profile_user")):
        versions = nightly[name]["enum"]
        assert versions[0] is None
        published = json.loads((REPOSITORY / "prompts" / "published.json").read_text())
        assert {f"{prompt}/v{version}" for version in versions[1:]} == {
            key for key in published if key.startswith(f"{prompt}/")
        }


def test_left_alone_a_form_changes_nothing(schemas: dict[str, Any]) -> None:
    assert {name: schema["value"] for name, schema in schemas["nightly"].items()} == {
        "profile": None,
        "item_prompt_version": None,
        "user_prompt_version": None,
        "shards": 1,
        "budget_tokens": None,
        "reprocess": False,
    }
    for dag in schemas.values():
        assert all(allowed(schema, schema["value"]) for schema in dag.values())


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("shards", [1, 64], [0, 65, 1.5, "2", None]),
        ("budget_tokens", [None, 0, 10**12], [-1, 0.5, "many"]),
        ("reprocess", [True, False], ["yes", None, 1]),
        ("item_prompt_version", [None, 1], [0, 99, "1"]),
        ("profile", [None, "movielens_1m"], ["default", "no_such_profile", 3]),
    ],
)
def test_values(schemas: dict[str, Any], name: str, good: list[Any], bad: list[Any]) -> None:
    schema = schemas["nightly"][name]
    assert [value for value in good if not allowed(schema, value)] == []
    assert [value for value in bad if allowed(schema, value)] == []


@given(text=st.one_of(st.sampled_from(HOSTILE), st.text()))
@settings(max_examples=200)
def test_no_text_gets_through_but_a_name_or_a_time(schemas: dict[str, Any], text: str) -> None:
    for dag in schemas.values():
        for name, schema in dag.items():
            if allowed(schema, text):
                assert name in ("profile", "since")
                assert not set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789_-:+.TZ")


def test_a_choice_is_a_setting(in_airflow: Callable[..., Any]) -> None:
    environ = in_airflow("from parameters import VARIABLES\nresult = VARIABLES")
    chosen = {"item_prompt_version": "1", "user_prompt_version": "1", "budget_tokens": "1000"}
    found = load_settings({environ[name]: value for name, value in chosen.items()})
    assert (found.profiles.item_prompt_version, found.profiles.user_prompt_version) == (1, 1)
    assert found.generation.budget.tokens == 1000
    assert environ["profile"] == "NIGHTMILL_PROFILE"
