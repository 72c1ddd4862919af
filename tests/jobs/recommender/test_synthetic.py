"""Who is asked about which cold item, against which other one: angles in a plane, by hand."""

import numpy as np
import pytest

from jobs.recommender.synthetic import Question, cold_questions, few_users, spread, user_of


def unit(degrees):
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


COLD = {"x": unit(0), "y": unit(90), "z": unit(180)}
USERS = {"near_x": unit(10), "near_y": unit(95), "near_z": unit(170)}


def asked(cold, users, users_per_item, pairs=9, texts=None):
    return cold_questions(cold, texts or {name: name for name in cold}, users, users_per_item, pairs)


def test_the_nearest_user_of_every_item_is_asked_about_the_other_item_nearest_to_it():
    assert asked(COLD, USERS, 1) == [
        Question("near_x", "x", "y"),
        Question("near_y", "y", "x"),
        Question("near_z", "z", "y"),
    ]
    assert asked(COLD, USERS, 1, pairs=2)[1:] == [Question("near_y", "y", "x")]


def test_one_user_near_to_several_items_is_asked_about_all_of_them():
    # near_y is the nearest of y and the second of x and z; each pair is asked of a user once
    assert asked(COLD, USERS, 2) == [
        Question("near_y", "x", "y"),
        Question("near_y", "y", "z"),
        Question("near_y", "z", "x"),
    ]


def test_the_other_item_is_a_near_one_and_then_a_far_one():
    cold = {"w": unit(0), "x": unit(2), "y": unit(5), "z": unit(9)}
    users = {"near": unit(3), "far": unit(90)}
    questions = asked(cold, users, 2)
    assert {question.user_id for question in questions} == {"near"}
    assert [(q.item, q.other) for q in questions] == [
        ("w", "x"),  # nearest
        ("x", "y"),  # w has been asked about beside x
        ("y", "z"),  # x has
        ("z", "x"),  # y has
        ("w", "z"),  # farthest
        ("y", "w"),  # x has been beside all the others
    ]


@pytest.mark.parametrize(
    ("degrees", "second"),
    [
        (-20, 2),  # .7 * cos 20 - .3 * cos 30 = .398, and the double has .7 * cos 10 - .3 = .389
        (-30, 1),  # .7 * cos 30 - .3 * cos 40 = .376
    ],
)
def test_somebody_else_is_asked_before_a_double_unless_much_farther_from_the_item(degrees, second):
    people = np.stack([unit(10), unit(10), unit(degrees), unit(180)])
    assert spread(people, unit(0), 2) == [0, second]


def test_far_users_are_no_diversity():
    crowd = np.stack([unit(degrees) for degrees in range(60)])
    # at most ten times as many as are wanted are looked at, and those are near
    assert max(spread(crowd, unit(0), 2)) < 20


def test_each_item_has_as_many_of_its_users_as_it_needs_and_no_more_are_asked():
    ranked = [[0, 1, 2], [1, 3, 4], [4, 1, 5]]
    assert few_users(ranked, 1) == {1}
    # 1 serves all, then 4 the two others; the first row still needs one of 0 and 2
    assert few_users(ranked, 2) == {0, 1, 4}
    assert few_users([[7]], 2) == {7}


def test_items_without_text_are_not_asked_about_and_equal_ones_never_meet():
    texts = {"w": "", "x": "a mug", "y": "a mug", "z": "a lamp"}
    cold = {name: unit(n) for n, name in enumerate(texts)}
    met = {frozenset((q.item, q.other)) for q in asked(cold, {"u": unit(0)}, 3, texts=texts)}
    assert met == {frozenset("xz"), frozenset("yz")}
    assert asked(cold, {"u": unit(0)}, 3, texts=dict.fromkeys(texts, "a mug")) == []


@pytest.mark.parametrize(("cold", "users"), [({}, USERS), ({"x": unit(0)}, USERS), (COLD, {})])
def test_with_nobody_or_nothing_to_choose_between_nothing_is_asked(cold, users):
    assert asked(cold, users, 3) == []


def test_the_order_in_which_users_come_changes_nothing():
    turned = dict(reversed(USERS.items()))
    assert asked(COLD, turned, 2) == asked(COLD, USERS, 2)


def test_a_question_has_a_name_of_its_own_whatever_ids_are_called():
    names = ["a", "a|b", "b|c", "c", "a%7Cb", "check"]
    questions = [
        Question(user, item, other, source)
        for source in ("cold_item", "check")
        for user in names
        for item in names
        for other in names
    ]
    entities = [question.entity(flipped) for question in questions for flipped in (False, True)]
    # Each is the flip of another one, or its own.
    assert len(set(entities)) == len(questions) == 2 * 6**3
    assert all(user_of(q.entity(flipped)) == q.user_id for q in questions for flipped in (False, True))
    assert user_of("x.inter:3") == ""
