"""The fake engine is deterministic, satisfies schemas, and fails on demand."""

import json
import random

import jsonschema
import pytest

from jobs.llm.engine import EngineDied
from jobs.llm.fake_engine import FakeEngine, Fault, instance
from jobs.llm.prompt import load_prompt

from .conftest import SCHEMA, make_request


def test_equal_requests_get_equal_answers() -> None:
    one, two = (list(FakeEngine().generate([make_request()])) for _ in range(2))
    assert one == two
    jsonschema.validate(json.loads(one[0].text), SCHEMA)


@pytest.mark.parametrize("name", ["profile_item", "profile_user"])
def test_instances_satisfy_the_schemas_of_the_prompts(name: str) -> None:
    schema = load_prompt(name, 1).output
    for seed in range(20):
        jsonschema.validate(instance(schema, random.Random(seed)), schema)


def test_choices_get_probabilities_that_add_up_to_one() -> None:
    (answer,) = FakeEngine().generate([make_request(schema=None, choices=("A", "B"))])
    assert answer.choice_probabilities is not None
    assert sum(answer.choice_probabilities.values()) == pytest.approx(1)
    assert answer.text == max(answer.choice_probabilities, key=answer.choice_probabilities.__getitem__)


def test_it_dies_where_it_is_told_to() -> None:
    engine = FakeEngine(lambda request: Fault.DEATH if request.entity_id == "e2" else None)
    answers = engine.generate([make_request("e1"), make_request("e2")])
    assert next(answers).error is None
    with pytest.raises(EngineDied, match="told to die"):
        next(answers)


def test_dropped_requests_are_not_answered() -> None:
    engine = FakeEngine()
    for entity in ("e1", "e2"):
        engine.submit(make_request(entity))
    engine.abort({make_request("e1").key})
    assert [answer.key for answer in engine.step()] == [make_request("e2").key]
    assert not engine.busy
