"""What a judge is shown, and what becomes of all its answers together."""

from typing import Any

import pytest

from jobs.llm.ask import Outcome
from jobs.llm.prompt import load_prompt
from jobs.llm.request import ModelRef, Request, SamplingRef
from jobs.recommender.synthetic import Question
from jobs.recommender.synthetic_judge import Answered, Judged

ITEMS: dict[str, dict[str, Any]] = {name: {"title": name, "categories": []} for name in ("a", "b", "c")}


def request(version: int, about: tuple[str, ...] = ()) -> Request:
    row = {"history": [ITEMS["c"]], "a": ITEMS["a"], "b": ITEMS["b"], "about": list(about)}
    return load_prompt("choose_item", version).request("id", row, ModelRef("m", "r"), SamplingRef(1))


def answered(source: str, straight: float, flipped: float) -> Answered:
    """The probabilities of the answer "first" in the two orders of a question."""
    asked = request(3)
    both = (Outcome(asked, {"first": straight}), Outcome(asked, {"first": flipped}))
    return Answered(Question("u", "a", "b", source), *both)


def test_what_was_answered_to_version_2_is_not_paid_again() -> None:
    assert request(3).key == request(2).key
    assert request(3, ("town: Ulm",)).key != request(2).key


def test_a_new_user_is_told_by_attributes_before_the_history() -> None:
    shown = request(3, ("town: Ulm",)).messages[-1]["content"]
    assert shown.startswith("<items>\nAbout:\n- town: Ulm\nLiked:\n- c\nNew:\nA: a\n")


def test_checks_say_what_answers_are_worth_and_become_no_row() -> None:
    checks = [answered("check", 0.9, 0.1)] * 8
    judged = Judged([*checks, answered("cold_item", 0.9, 0.1), answered("new_user", 0.1, 0.9)])
    assert [one.question.source for one, _ in judged.wanted()] == ["cold_item", "new_user"]
    assert (judged.calibration.checks, judged.calibration.right) == (8, 8)
    # 8 of 8 at the margin of all: 9/10
    assert judged.calibration.confidence(judged.preferences[-1].margin) == pytest.approx(0.8)


def test_the_account_of_a_judge_that_says_first_whatever_is_asked() -> None:
    said = Judged([answered("check", 0.9, 0.9)] * 3 + [answered("cold_item", 0.9, 0.9)]).account()
    assert (said["answers"], said["answers_first_share"], said["agreement_rate"]) == (8, 1.0, 0.0)
    assert said["position_lean_log_odds"] == pytest.approx(2.197, abs=1e-3)  # log 9
    assert (said["checks"], said["checks_agreed"], said["judge_accuracy"]) == (3, 0, None)
    assert said["judge_verdict"] == "knows nothing"
    assert Judged([]).account() == {}
