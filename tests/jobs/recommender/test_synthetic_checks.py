"""Known questions: the item a user took last, against one the user never took."""

from datetime import UTC, datetime

import numpy as np

from jobs.history import History
from jobs.recommender.synthetic_checks import check_users, checks

WARM = {"hit": 100, "hit2": 90, "mid": 10, "mid2": 11, "mid3": 9}
TEXTS = {item: item for item in (*WARM, "cold")} | {"blank": ""}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def history(*items):
    return History("u", items, NOW)


def asked(histories, taken=None, warm=WARM, texts=TEXTS, vectors=None):
    taken = {user: set(h.item_ids) | set((taken or {}).get(user, ())) for user, h in histories.items()}
    return checks(sorted(histories), histories, taken, warm, texts, vectors or {})


def test_the_newest_item_is_held_out_and_the_other_is_as_popular():
    (question,) = asked({"u": history("hit2", "mid", "hit")})
    # hit2 is nearer in popularity, and was taken
    assert (question.item, question.other, question.source) == ("hit", "mid2", "check")
    assert question.history == ("hit2", "mid")


def test_what_the_user_ever_took_is_never_the_other_item():
    (question,) = asked({"u": history("mid", "hit")}, {"u": {"hit2", "mid2"}})
    assert question.other == "mid3"
    assert asked({"u": history("mid", "hit")}, {"u": set(WARM)}) == []


def test_items_with_the_same_or_no_text_are_no_choice():
    texts = TEXTS | {"hit2": "hit", "mid2": "", "mid3": ""}
    (question,) = asked({"u": history("cold", "hit")}, texts=texts)
    assert question.other == "mid"


def test_the_nearest_of_the_equally_popular_in_turn_with_the_farthest():
    vectors = {"hit": [1, 0], "hit2": [0, 1], "mid": [0.6, 0.8], "mid2": [0.8, 0.6], "mid3": [-1, 0]}
    vectors = {item: np.array(vector, dtype=float) for item, vector in vectors.items()}
    both = asked({"u": history("cold", "hit"), "v": history("cold", "hit")}, vectors=vectors)
    assert [question.other for question in both] == ["mid2", "mid3"]


def test_users_need_something_to_show_and_a_warm_item_to_hold_out():
    histories = {
        "one": history("hit"),
        "cold": history("hit", "cold"),
        "blank": history("hit", "blank"),
        "some": history("cold", "hit"),
        "more": history("hit", "hit2", "mid"),
    }
    users = check_users(histories, WARM | {"blank": 9}, TEXTS, 9)
    assert set(users) == {"some", "more"}
    # the same users whatever the order, and the first of them when fewer are wanted
    turned = dict(reversed(histories.items()))
    assert check_users(turned, WARM | {"blank": 9}, TEXTS, 1) == users[:1]
