"""How sure is sure enough: Wilson's bound by hand, and a bar that luck does not lower."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.llm.assurance import Bar, Check, fewest, lowest_bar, proven, wilson_low


def checks(*right: bool) -> list[Check]:
    """Answers, the surest first."""
    return [Check(1 - n / 1000, each) for n, each in enumerate(right)]


def test_the_lower_end() -> None:
    assert wilson_low(0, 0) == 0
    assert wilson_low(0, 9) == 0
    # all right: n / (n + 1.96^2)
    assert wilson_low(10, 10) == pytest.approx(10 / 13.8416, abs=1e-4)
    # 45 of 50 in any table of Wilson's intervals: .786 to .957
    assert wilson_low(45, 50) == pytest.approx(0.786, abs=5e-4)


@given(st.integers(1, 400), st.data())
def test_it_never_claims_more_than_was_seen(asked: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, asked))
    assert 0 <= wilson_low(right, asked) <= right / asked + 1e-12
    if right < asked:
        assert wilson_low(right, asked) < wilson_low(right + 1, asked)


def test_the_fewest_checks_that_can_show_a_precision() -> None:
    # n / (n + 3.84) reaches .8 at n = 15.4, .5 at 3.84
    assert fewest(0.8) == 16
    assert fewest(0.5) == 4
    with pytest.raises(ValueError, match="no number of checks"):
        fewest(1.0)


def test_all_right_is_sure_at_any_confidence() -> None:
    assert lowest_bar(checks(*[True] * 40), 0.8) == Bar(0.961, 40, 40, wilson_low(40, 40))


def test_the_bar_stands_where_answers_stop_being_right() -> None:
    # of 80: the first half right, the second wrong; the third quarter brings it down to 40 of 60
    found = lowest_bar(checks(*[True] * 40, *[False] * 40), 0.8)
    assert found is not None
    assert (found.confidence, found.answered, found.right) == (1 - 39 / 1000, 40, 40)


def test_where_the_surest_are_not_right_nothing_is() -> None:
    assert lowest_bar(checks(*[False] * 10, *[True] * 70), 0.8) is None


def test_too_few_checks_show_nothing() -> None:
    assert lowest_bar(checks(*[True] * 10), 0.8) is None
    assert lowest_bar([], 0.8) is None


def test_no_answer_is_never_taken_for_one() -> None:
    assert lowest_bar([Check(0.0, True)] * 50, 0.8) is None
    half = [*checks(*[True] * 25), *[Check(0.0, True)] * 25]
    found = lowest_bar(half, 0.8)
    assert found is not None
    assert found.answered == 25


def test_answers_that_are_equally_sure_stand_or_fall_together() -> None:
    same = [Check(0.5, n % 2 == 0) for n in range(40)]
    assert lowest_bar(same, 0.8) is None
    found = lowest_bar([Check(0.5, n != 0) for n in range(40)], 0.8)
    assert found == Bar(0.5, 40, 39, wilson_low(39, 40))


def test_an_answer_that_is_missing_is_not_a_right_one() -> None:
    found = proven("model", [*checks(*[True] * 40), None, None], 0.8)
    assert (found.name, found.answered, found.right) == ("model", 40, 40)
    assert found.worth == (40, 40)
    nobody = proven("vote", [None] * 40, 0.8)
    assert (nobody.answered, nobody.right, nobody.bar, nobody.worth) == (0, 0, None, (0, 0))


def test_a_source_worse_than_promised_is_seldom_let_through() -> None:
    # 70% right whatever the confidence, 80% wanted: at most 2.5% of nights may publish anything
    chance = random.Random(0)
    let_through = sum(
        lowest_bar([Check(chance.random(), chance.random() < 0.7) for _ in range(100)], 0.8) is not None
        for _ in range(400)
    )
    assert let_through <= 10
