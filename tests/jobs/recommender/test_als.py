import numpy as np
import pyarrow as pa
import pytest

from feature_store.settings import load_settings
from jobs.recommender import als, trending

RECALL = load_settings({}).recall.model_copy(update={"factors": 4, "alpha": 10.0, "synthetic_weight": 0.1})
# Two circles of taste: ann and bob take a, b, c; eve and kim take x, y, z. Each has left one out.
EVENTS = [
    (user, item, 1.0, 2.0)
    for user, items in {"ann": "ab", "bob": "abc", "eve": "xy", "kim": "xyz"}.items()
    for item in items
]
CATALOGUE = ["a", "b", "c", "cold", "x", "y", "z"]


def imagined(*rows):
    users, items, confidence = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "confidence": pa.array(confidence, pa.float64()),
        }
    )


def first(model, past, user):
    code = np.array([past.user_ids.index(user).as_py()], dtype=np.int32)
    return past.item_ids[int(model.recommend(code, 1, past.seen(code)).items[0, 0])].as_py()


def test_users_get_what_others_of_their_taste_took(history):
    past = history(EVENTS, CATALOGUE)
    model = als.fit(past, imagined(), RECALL)
    assert first(model, past, "ann") == "c"
    assert first(model, past, "eve") == "z"


def test_the_same_seed_gives_the_same_factors(history):
    past = history(EVENTS, CATALOGUE)
    one, two = (als.fit(past, imagined(), RECALL) for _ in range(2))
    np.testing.assert_array_equal(one.user_factors, two.user_factors)
    np.testing.assert_array_equal(one.item_factors, two.item_factors)


def test_an_item_nobody_took_is_not_proposed(history):
    past = history(EVENTS, CATALOGUE)
    users = past.active(30)
    found = als.fit(past, imagined(), RECALL).recommend(users, 7, past.seen(users))
    assert past.item_ids.index("cold").as_py() not in found.items


def test_confidence_is_one_plus_alpha_for_an_average_event_and_grows_slowly(history):
    past = history(
        [("ann", "a", 1.0, 4.0), ("bob", "a", 1.0, 2.0), ("bob", "a", 2.0, 2.0), ("bob", "b", 1.0, 8.0)],
        ["a", "b"],
    )
    matrix = als.confidences(past, imagined(), RECALL).toarray()  # the mean weight is 4
    assert matrix.tolist() == [[11, 0], [11, pytest.approx(1 + 10 * np.log2(3))]]


def test_an_event_that_speaks_against_an_item_gives_no_confidence(history):
    past = history([("ann", "a", 1.0, 1.0), ("ann", "b", 1.0, -1.0)], ["a", "b"])
    assert als.confidences(past, imagined(), RECALL).toarray().tolist() == [[11, 0]]


def test_a_synthetic_interaction_is_a_little_confidence_and_asked_twice_no_more(history):
    past = history(EVENTS, CATALOGUE)
    told = imagined(("ann", "cold", 0.5), ("ann", "cold", 0.3), ("nobody", "cold", 1.0), ("ann", "gone", 1.0))
    difference = (als.confidences(past, told, RECALL) - als.confidences(past, imagined(), RECALL)).toarray()
    row, column = past.user_ids.index("ann").as_py(), past.item_ids.index("cold").as_py()
    # 0.1 * 0.4 of an average event, which has 1 + 10
    assert difference[row, column] == pytest.approx((1 + 10) * 0.1 * 0.4)
    assert np.count_nonzero(difference) == 1


def test_beside_an_event_of_the_same_user_a_synthetic_interaction_adds_to_the_strength(history):
    past = history(EVENTS, CATALOGUE)
    told = imagined(("ann", "a", 0.5))
    difference = (als.confidences(past, told, RECALL) - als.confidences(past, imagined(), RECALL)).toarray()
    row, column = past.user_ids.index("ann").as_py(), past.item_ids.index("a").as_py()
    assert difference[row, column] == pytest.approx(10 * 0.1 * 0.5, rel=1e-5)
    assert np.count_nonzero(difference) == 1


def test_a_synthetic_interaction_of_confidence_0_changes_nothing_bit_for_bit(history):
    past = history(EVENTS, CATALOGUE)
    empty = als.fit(past, imagined(), RECALL)
    found = als.fit(past, imagined(("ann", "cold", 0.0), ("ann", "a", 0.0)), RECALL)
    np.testing.assert_array_equal(found.user_factors, empty.user_factors)
    np.testing.assert_array_equal(found.item_factors, empty.item_factors)
    np.testing.assert_array_equal(found.known_items, empty.known_items)
    # ... and beside another answer about the same item it does not count as half an opinion
    one, two = imagined(("ann", "cold", 0.4)), imagined(("ann", "cold", 0.4), ("ann", "cold", 0.0))
    assert (als.confidences(past, one, RECALL) != als.confidences(past, two, RECALL)).nnz == 0


def test_a_synthetic_interaction_is_neither_seen_nor_popular(history):
    """It brings the cold item into ALS, where it can be recommended (it is unseen), and not into trending."""
    past = history(EVENTS, CATALOGUE)
    model = als.fit(past, imagined(("ann", "cold", 1.0)), RECALL)
    cold = past.item_ids.index("cold").as_py()
    users = past.active(30)
    assert cold in model.recommend(users, 7, past.seen(users)).items[0]
    assert cold not in trending.fit(past, 14).order


def test_no_event_at_all(history):
    past = history([], CATALOGUE)
    model = als.fit(past, imagined(), RECALL)
    assert not model.known_users.any()
    assert not model.known_items.any()


def test_one_user_one_item_one_event(history):
    past = history([("ann", "a", 1.0, 1.0)], ["a"])
    users = past.active(30)
    assert (als.fit(past, imagined(), RECALL).recommend(users, 5, past.seen(users)).items == -1).all()
