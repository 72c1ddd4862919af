"""Questions about users of whom the source knows more than the events do."""

import numpy as np

from feature_store.sections import PROTECTED
from jobs.recommender.synthetic import Question
from jobs.recommender.synthetic_newcomers import about, newcomer_questions, newcomers, panel


def test_attributes_are_lines_in_the_order_of_their_names_and_protected_ones_are_none():
    told = '{"town": "Ulm", "favourite_genre": "jazz", "age_group": "25-34", "Gender": "f", "note": ""}'
    assert about(told, PROTECTED) == ("favourite genre: jazz", "town: Ulm")
    assert about("{}", PROTECTED) == about("", PROTECTED) == ()


def test_the_panel_begins_with_the_item_taken_most_and_goes_as_far_away_as_it_can():
    angles = {"a": 0, "b": 10, "c": 90, "d": 180}
    vectors = {i: np.array([np.cos(np.radians(at)), np.sin(np.radians(at))]) for i, at in angles.items()}
    counts, texts = {"a": 5, "b": 9, "c": 5, "d": 1, "unknown": 99}, {item: item for item in angles}
    # from b at 10 degrees d at 180 is farthest, then c is 80 from b and 90 from d; a is 10 from b
    assert panel(counts, texts, vectors) == ["b", "d", "c", "a"]
    assert panel({}, texts, vectors) == []


def test_a_pair_of_which_one_was_taken_or_that_looks_the_same_is_not_asked_about():
    texts = {"a": "a mug", "b": "a lamp", "c": "a pen", "d": "a pen"}
    told = {"ann": ("town: Ulm",), "bob": ("town: Bonn",)}
    found = newcomer_questions(["ann", "bob"], told, {"bob": ("a",)}, {"bob": {"a"}}, list("abcd"), texts)
    assert found == [Question("ann", "a", "b", "new_user", (), ("town: Ulm",))]


def test_newcomers_are_the_same_in_any_order():
    users = [f"u{n}" for n in range(9)]
    assert newcomers(users, 3) == newcomers(reversed(users), 3)
    assert len(newcomers(users, 3)) == 3
