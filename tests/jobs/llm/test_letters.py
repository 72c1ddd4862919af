"""Reading an answer among lettered options: two orders, and the lean to places taken out."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.llm.letters import Reading, Shown, lean, read, two_orders


@given(st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=6), st.text(max_size=8))
def test_both_orders_show_every_option_and_none_in_the_same_place(options: set[str], about: str) -> None:
    first, second = two_orders(sorted(options), about)
    assert set(first) == set(second) == options
    assert all(one != other for one, other in zip(first, second, strict=True))
    # however the options are given, the question is the same
    assert two_orders(sorted(options, reverse=True), about) == (first, second)


def test_where_an_option_stands_differs_from_text_to_text() -> None:
    firsts = {two_orders(("a", "b", "c"), f"text {n}")[0][0] for n in range(20)}
    assert firsts == {"a", "b", "c"}


def test_a_model_that_only_looks_at_places_says_nothing() -> None:
    # always 80% for the letter A
    straight, turned = Shown(("x", "y"), (0.8, 0.2)), Shown(("y", "x"), (0.8, 0.2))
    leaning = lean([straight, turned])
    assert leaning[2] == pytest.approx([log(2), -log(2)])  # half of log(0.8 / 0.2) each way
    assert read(straight, turned, leaning) == Reading("x", 0.5, agree=True)
    assert not read(straight, turned, {}).agree


def test_what_is_left_of_an_answer_once_the_lean_is_out() -> None:
    straight, turned = Shown(("x", "y"), (0.9, 0.1)), Shown(("y", "x"), (0.5, 0.5))
    # odds of 9 and of 1 for the first place: 3 on average, so x has 9/3 in one order and 3/1 in the other
    leaning = lean([straight, turned])
    assert leaning[2] == pytest.approx([log(3) / 2, -log(3) / 2])
    assert read(straight, turned, leaning) == Reading("x", 0.75, agree=True)


def test_orders_that_differ_do_not_agree() -> None:
    said = read(Shown(("x", "y"), (0.9, 0.1)), Shown(("y", "x"), (0.6, 0.4)), {})
    assert (said.option, said.agree) == ("x", False)
    assert said.probability == pytest.approx(0.65)


def test_lists_of_different_lengths_have_leans_of_their_own() -> None:
    leaning = lean([Shown(("x", "y"), (0.5, 0.5)), Shown(("x", "y", "z"), (0.5, 0.25, 0.25))])
    assert leaning[2] == [0, 0]
    assert leaning[3] == pytest.approx([2 * log(2) / 3, -log(2) / 3, -log(2) / 3])


def test_a_probability_of_zero_is_a_number_like_any() -> None:
    shown = Shown(("x", "y"), (1.0, 0.0))
    said = read(shown, Shown(("y", "x"), (0.0, 1.0)), lean([shown]))
    assert said.option == "x"
    assert 0.5 < said.probability <= 1
