"""Every rung of the ladder an answer can fall from."""

from collections.abc import Mapping
from typing import Any

import pytest

from jobs.llm.generations import Generation
from jobs.llm.request import Request
from jobs.llm.validate import Refused, read_answer, refuse_ungrounded, refuse_unsafe

from .conftest import SCHEMA, make_request

GOOD = '{"tag":"red","text":"a red thing"}'


def as_is(request: Request, value: Any) -> Mapping[str, Any]:
    refuse_unsafe(value["text"], [])
    refuse_ungrounded(value["text"], ["a red thing"])
    return value


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        (GOOD, "length", "truncated"),
        (GOOD, "abort", "engine_error"),
        ("", "stop", "invalid_json"),
        ("Sure! " + GOOD, "stop", "invalid_json"),
        ('{"tag":"green","text":"a red thing"}', "stop", "schema_mismatch"),
        ('{"tag":"red"}', "stop", "schema_mismatch"),
        ('["red"]', "stop", "schema_mismatch"),
        ('{"tag":"red","text":"a red thing for women"}', "stop", "unsafe"),
        ('{"tag":"red","text":"see www.example.org"}', "stop", "unsafe"),
        ('{"tag":"red","text":"a red Ferrari"}', "stop", "ungrounded"),
    ],
)
def test_an_answer_falls_from_the_first_rung_that_breaks(text: str, finish: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        read_answer(make_request(), Generation("k", text, finish, None), as_is)
    assert refused.value.reason == reason
    assert refused.value.detail


def test_a_good_answer_is_read() -> None:
    assert read_answer(make_request(), Generation("k", GOOD, "stop", None), as_is)["tag"] == "red"


def test_a_text_that_fills_its_cap_was_ended_by_the_grammar() -> None:
    properties = {"tag": {"enum": ["red"]}, "text": {"type": "string", "maxLength": 11}}
    request = make_request(schema=SCHEMA | {"properties": properties})
    with pytest.raises(Refused, match="truncated: text filled its 11 characters"):
        read_answer(request, Generation("k", GOOD, "stop", None), as_is)


@pytest.mark.parametrize(
    "probabilities",
    [None, {}, {"A": 1.0}, {"A": 0.5, "C": 0.5}, {"A": 0.2, "B": 0.2}, {"A": float("nan"), "B": 0.5}],
)
def test_choices_need_a_probability_each_that_add_up_to_one(probabilities: dict[str, float] | None) -> None:
    request = make_request(schema=None, choices=("A", "B"))
    with pytest.raises(Refused, match="schema_mismatch"):
        read_answer(request, Generation("k", "A", "length", probabilities), lambda _, value: value)


def test_choices_are_read_from_their_probabilities() -> None:
    request = make_request(schema=None, choices=("A", "B"))
    generation = Generation("k", "A", "length", {"A": 0.75, "B": 0.25})
    assert read_answer(request, generation, lambda _, value: value) == {"A": 0.75, "B": 0.25}
