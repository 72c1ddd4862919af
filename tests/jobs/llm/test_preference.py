"""Preferences out of two answers, with the lean to what stands first taken out."""

import pytest

from jobs.llm.preference import EDGE, Pair, lean, log_odds, read_preferences


def test_a_reader_without_lean_is_taken_at_its_word() -> None:
    # 0.8 when first, and 0.2 for the other when second: both say 0.8
    (preference,) = read_preferences([Pair(0.8, 0.2)])
    assert preference.probability == pytest.approx(0.8)
    assert preference.position_bias == pytest.approx(0.0)
    assert preference.agree


def test_a_model_that_says_first_whatever_is_asked_has_no_preference() -> None:
    (preference,) = read_preferences([Pair(0.9, 0.9)])
    assert preference.probability == pytest.approx(0.5)
    assert preference.position_bias == pytest.approx(0.8)
    assert not preference.agree


def test_the_lean_of_the_night_is_taken_out_of_every_question() -> None:
    # log-odds log 9 and log 4 lean by log 6 = log sqrt(9 * 4): 9/6 and 4/6 are left
    preferred, refused = read_preferences([Pair(0.9, 0.8), Pair(0.8, 0.9)])
    # 9/6 -> 0.6 for the item, 4/6 -> 0.4 for the other: 0.6 in both orders
    assert preferred.probability == pytest.approx(0.6)
    assert preferred.agree
    assert refused.probability == pytest.approx(0.4)
    assert refused.agree


def test_orders_that_contradict_each_other_do_not_agree() -> None:
    # the lean is log 4; what is left says "first" in both orders, or "second" in both
    both_first, both_second = read_preferences([Pair(16 / 17, 16 / 17), Pair(0.5, 0.5)])
    assert not both_first.agree
    assert not both_second.agree


def test_certainty_stays_finite() -> None:
    assert log_odds(1.0) == log_odds(1 - EDGE) == pytest.approx(-log_odds(0.0))
    assert read_preferences([Pair(1.0, 0.0)])[0].probability == pytest.approx(1.0, abs=1e-5)
    assert lean([]) == 0.0
