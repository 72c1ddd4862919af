import numpy as np
import pyarrow as pa
import pytest

from jobs.recommender import proposals, trending_category


def catalogue(**categories):
    return pa.table(
        {
            "item_id": pa.array(list(categories), pa.string()),
            "categories": pa.array(list(categories.values()), pa.list_(pa.string())),
        }
    )


ITEMS = catalogue(a=["film"], b=["film"], c=["book"], d=["book", "film"], e=[], f=["book"])
NAMES = ["a", "b", "c", "d", "e", "f"]


def propose(past, items, user, n=6, half_life=10.0):
    code = np.array([past.user_ids.index(user).as_py()], dtype=np.int32)
    return trending_category.fit(past, items, half_life).recommend(code, n, past.seen(code))


def test_the_score_is_the_users_share_of_a_category_times_the_items_share_of_it(history):
    # film: a twice, b once; book: c once. ann's events: a (film) and c (book), half each.
    past = history(
        [("ann", "a", 0.0, 1.0), ("ann", "c", 0.0, 1.0), ("bob", "a", 0.0, 1.0), ("bob", "b", 0.0, 1.0)],
        NAMES,
    )
    assert propose(past, ITEMS, "ann").items.tolist() == [[1, -1, -1, -1, -1, -1]]
    assert propose(past, ITEMS, "ann").scores[0, 0] == pytest.approx(1 / 2 * 1 / 3)
    # bob knows film only, and the rest of film was taken by nobody
    assert (propose(past, ITEMS, "bob").items == -1).all()


def test_an_item_of_two_categories_is_half_in_each(history):
    past = history([("ann", "a", 0.0, 1.0), ("bob", "d", 0.0, 1.0), ("bob", "b", 0.0, 1.0)], NAMES)
    # film holds 1 (a) + 1 (b) + 1/2 (d): b has 2/5 of it and d 1/5; book is no shelf of ann's
    found = propose(past, ITEMS, "ann", 2)
    assert found.items.tolist() == [[1, 3]]
    assert found.scores[0].tolist() == pytest.approx([2 / 5, 1 / 5])


def test_what_was_taken_long_ago_counts_less_for_items_and_for_users(history):
    past = history(
        [
            ("ann", "a", 10.0, 1.0),
            ("ann", "c", 0.0, 1.0),
            ("bob", "b", 0.0, 1.0),
            ("bob", "f", 10.0, 1.0),
        ],
        NAMES,
    )
    # ann: film 1/3, book 2/3. film: a 1/2 and b 1, book: c 1 and f 1/2
    found = propose(past, ITEMS, "ann", 2)
    assert found.items.tolist() == [[1, 5]]  # both 2/9, ties by item
    assert found.scores[0].tolist() == pytest.approx([2 / 9, 2 / 9])


@pytest.mark.parametrize("items", [catalogue(a=[], b=[]), catalogue(a=["film"], b=["film"])])
def test_no_category_or_no_event_proposes_nothing(history, items):
    past = history([("ann", "a", 0.0, 1.0)] if not items["categories"][0].as_py() else [], ["a", "b"])
    users = past.active(30)
    found = trending_category.fit(past, items, 10.0).recommend(users, 3, past.seen(users))
    assert (found.items == -1).all()


def test_one_user_one_item_one_event(history):
    past = history([("ann", "a", 0.0, 1.0)], ["a"])
    assert (propose(past, catalogue(a=["film"]), "ann").items == -1).all()


def test_very_old_events_are_no_division_by_zero(history):
    past = history([("ann", "a", 90000.0, 1.0), ("bob", "b", 90000.0, 1.0)], NAMES)
    found = propose(past, ITEMS, "ann", half_life=1.0)
    assert (found.items == -1).all()


def test_users_do_not_depend_on_who_else_is_in_the_block(history, monkeypatch):
    generator = np.random.default_rng(4)
    events = [
        (f"u{generator.integers(9)}", NAMES[generator.integers(6)], float(generator.random() * 30), 1.0)
        for _ in range(25)
    ]
    past = history(events, NAMES)
    users = past.active(60)
    whole = trending_category.fit(past, ITEMS, 7.0).recommend(users, 4, past.seen(users))
    monkeypatch.setattr(proposals, "ENTRIES", 7)
    small = trending_category.fit(past, ITEMS, 7.0).recommend(users, 4, past.seen(users))
    np.testing.assert_array_equal(whole.items, small.items)
    np.testing.assert_array_equal(whole.scores, small.scores)
