"""What is, and what is not, part of a request's identity."""

import json

import pytest

from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef

from .conftest import SCHEMA, make_request

EXPECTED = make_request()


def test_the_key_is_the_hash_of_canonical_json() -> None:
    # sha256sum of {"choices":["A","B"],"messages":[{"content":"é?","role":"user"}],"model":{"adapter":"",
    # "model_id":"m","quantization":"","revision":"r"},"sampling":{"max_tokens":1,"seed":0,"temperature":0.0},
    # "schema":null} without the line breaks
    request = Request(
        "u1",
        ({"role": "user", "content": "é?"},),
        PromptRef("p", "1", "h"),
        ModelRef("m", "r"),
        SamplingRef(1),
        choices=("A", "B"),
    )
    assert request.key == "58a83ff5061140ced39c5c910272b12df2297b09802de8da52080f24a7554d1d"


def test_the_key_of_a_json_request_is_what_it_always_was() -> None:
    # made with json.dumps(..., sort_keys=True, ensure_ascii=False, separators=(",", ":")) over the five parts
    request = make_request(
        messages=(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "七人の侍 \ud800\n"},
        ),
        model=ModelRef("m", "r", "awq", "films"),
        sampling=SamplingRef(96, 0.7, 3),
    )
    assert request.key == "0ca03a4aad28d124789347b929302d84b1f33db9875dbfd4670bf3dd64cda454"
    assert make_request(sampling=SamplingRef(96, 0)).key != make_request(sampling=SamplingRef(96, 0.0)).key


@pytest.mark.parametrize(
    "other",
    [
        make_request(content="What is it?"),
        make_request(schema=SCHEMA | {"required": ["tag"]}),
        make_request(schema=None, choices=("A", "B")),
        make_request(model=ModelRef("other", "1")),
        make_request(model=ModelRef("fake", "2")),
        make_request(model=ModelRef("fake", "1", quantization="awq")),
        make_request(model=ModelRef("fake", "1", adapter="films")),
        make_request(sampling=SamplingRef(17)),
        make_request(sampling=SamplingRef(16, temperature=0.5)),
        make_request(sampling=SamplingRef(16, seed=1)),
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(other: Request) -> None:
    assert other.key != EXPECTED.key


@pytest.mark.parametrize(
    "same",
    [
        make_request("e2", content="What is e1?"),
        make_request(prompt=PromptRef("ask_tag", "2", "other hash")),
        make_request(schema=dict(reversed(SCHEMA.items()))),
    ],
)
def test_nothing_else_does(same: Request) -> None:
    assert same.key == EXPECTED.key


def test_a_request_survives_the_wire_with_its_key() -> None:
    request = make_request(content="七人の侍 \ud800 ñ")
    assert Request.from_wire(json.loads(json.dumps(request.to_wire()))).key == request.key


def test_a_larger_cap_is_another_question() -> None:
    longer = EXPECTED.with_larger_cap()
    assert longer.sampling.max_tokens == 32
    assert longer.key != EXPECTED.key
