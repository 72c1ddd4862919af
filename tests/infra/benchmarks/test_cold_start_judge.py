"""The oracle: what it answers, and which users it may be asked about."""

from dataclasses import replace

import pytest

from infra.benchmarks.cold_start_judge import Oracle, asked_half
from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef

TAKEN = {"ann|smith": {"x", "y"}}


def asked(user, first, second):
    prompt = PromptRef("choose_item", "1", "hash")
    entity = f"{user}|{first}|{second}"
    messages = ({"role": "user", "content": "A or B?"},)
    return Request(entity, messages, prompt, ModelRef("fake", "1"), SamplingRef(1), choices=("A", "B"))


@pytest.mark.parametrize(
    ("first", "second", "likely"), [("x", "z", 0.99), ("z", "y", 0.01), ("x", "y", 0.5), ("z", "w", 0.5)]
)
def test_it_knows_which_of_the_two_was_taken(first, second, likely):
    (answer,) = Oracle(TAKEN).generate([asked("ann|smith", first, second)])
    assert answer.choice_probabilities == pytest.approx({"A": likely, "B": 1 - likely})
    assert answer.text == ("A" if likely >= 0.5 else "B")
    assert answer.output_tokens == 1
    assert answer.prompt_tokens > 0


def test_a_known_question_is_about_the_same_user():
    request = replace(asked("", "x", "z"), entity_id="check|ann|smith|x|z")
    (answer,) = Oracle(TAKEN).generate([request])
    assert answer.text == "A"
    assert answer.choice_probabilities["A"] == 0.99


def test_of_a_user_it_was_told_nothing_about_it_knows_nothing():
    (answer,) = Oracle(TAKEN).generate([asked("bob", "x", "z")])
    assert answer.choice_probabilities == {"A": 0.5, "B": 0.5}


def test_every_second_user_may_be_asked_whatever_the_order():
    assert asked_half(["d", "a", "c", "b", "e"]) == {"a", "c", "e"}
    assert asked_half([]) == set()
