import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from jobs.recommender import proposals
from jobs.recommender.proposals import Proposals, nearest


def seen(users, items, *pairs):
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    return csr_matrix((np.ones(len(pairs), dtype=np.float32), (rows, columns)), shape=(users, items))


def test_the_largest_products_win_and_seen_items_are_left_out():
    vectors = np.array([[1, 0], [2, 0], [0, 3]], dtype=np.float32)
    queries = np.array([[1, 0], [1, 1]], dtype=np.float32)
    found = nearest(vectors, queries, 2, seen(2, 3, (0, 1)), np.ones(3, dtype=bool))
    assert found.items.tolist() == [[0, 2], [2, 1]]
    assert found.scores.tolist() == [[1, 0], [3, 2]]


def test_places_without_an_item_are_marked():
    vectors = np.array([[1.0], [2.0]], dtype=np.float32)
    found = nearest(vectors, np.ones((1, 1), dtype=np.float32), 5, seen(1, 2, (0, 1)), np.ones(2, dtype=bool))
    assert found.items.tolist() == [[0, -1]]
    assert found.scores.tolist() == [[1, -np.inf]]


def test_items_that_are_not_eligible_are_never_proposed():
    vectors = np.array([[9.0], [1.0], [-1.0]], dtype=np.float32)
    found = nearest(vectors, np.ones((1, 1), dtype=np.float32), 3, seen(1, 3), np.array([False, True, True]))
    assert found.items.tolist() == [[1, 2]]
    none = nearest(vectors, np.ones((1, 1), dtype=np.float32), 3, seen(1, 3), np.zeros(3, dtype=bool))
    assert none.items.shape == (1, 0)


@pytest.mark.parametrize("items", [5, 300, proposals._ITEMS + 3])
def test_ties_go_to_the_smaller_code_even_over_the_last_place(items):
    vectors = np.ones((items, 4), dtype=np.float32)
    found = nearest(
        vectors, np.ones((2, 4), dtype=np.float32), 3, seen(2, items, (0, 1)), np.ones(items, dtype=bool)
    )
    assert found.items.tolist() == [[0, 2, 3], [0, 1, 2]]
    assert found.scores.tolist() == [[4, 4, 4], [4, 4, 4]]


def test_it_agrees_with_ranking_everything_on_random_vectors():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(200, 8)).astype(np.float32)
    queries = generator.normal(size=(30, 8)).astype(np.float32)
    mask = generator.random((30, 200)) < 0.3
    found = nearest(vectors, queries, 20, csr_matrix(mask.astype(np.float32)), np.ones(200, dtype=bool))
    scores = np.where(mask, -np.inf, queries @ vectors.T)
    np.testing.assert_array_equal(found.items, np.argsort(-scores, axis=1)[:, :20])


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 300), st.booleans(), st.randoms())
def test_it_agrees_with_sorting_all_products_however_many_tie(users, n, items, few, random):
    generator = np.random.default_rng(random.getrandbits(32))
    vectors = generator.integers(-2, 3, (items, 2 if few else 6)).astype(np.float32)
    queries = generator.integers(-2, 3, (users, vectors.shape[1])).astype(np.float32)
    mask, eligible = generator.random((users, items)) < 0.3, generator.random(items) < 0.8
    found = nearest(vectors, queries, n, csr_matrix(mask.astype(np.float32)), eligible)
    scores = np.where(mask | ~eligible, -np.inf, queries @ vectors.T)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : found.items.shape[1]]
    best = np.take_along_axis(scores, order, axis=1)
    assert found.items.shape[1] == min(n, eligible.sum())
    np.testing.assert_array_equal(found.scores, best)
    np.testing.assert_array_equal(found.items, np.where(np.isneginf(best), -1, order))


def test_neither_threads_nor_the_others_asked_about_change_an_answer(monkeypatch):
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(2 * proposals._ITEMS + 7, 33)).astype(np.float32)
    queries = generator.normal(size=(proposals._QUERIES + 2, 33)).astype(np.float32)
    taken, eligible = seen(len(queries), len(vectors), (0, 1)), np.ones(len(vectors), dtype=bool)
    whole = nearest(vectors, queries, 30, taken, eligible)
    monkeypatch.setattr(proposals, "cores", lambda: 1)
    for part in (slice(0, 1), slice(3, None), slice(len(queries) - 1, None)):
        alone = nearest(vectors, queries[part], 30, taken[part], eligible)
        np.testing.assert_array_equal(alone.items, whole.items[part])
        np.testing.assert_array_equal(alone.scores, whole.scores[part])


def test_what_is_seen_need_not_be_in_order():
    taken = csr_matrix((np.ones(2, dtype=np.float32), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    found = nearest(
        np.eye(3, dtype=np.float32), np.ones((1, 3), dtype=np.float32), 3, taken, np.ones(3, bool)
    )
    assert found.items.tolist() == [[1, -1, -1]]


def test_a_vector_that_is_not_a_number_is_near_nobody():
    vectors = np.array([[1.0], [np.nan], [2.0]], dtype=np.float32)
    queries = np.array([[1.0], [np.nan]], dtype=np.float32)
    found = nearest(vectors, queries, 3, seen(2, 3), np.ones(3, dtype=bool))
    assert found.items.tolist() == [[2, 0, -1], [-1, -1, -1]]


def test_spread_leaves_the_others_without_proposals():
    some = Proposals(np.array([[3, 1]], dtype=np.int32), np.array([[2.0, 1.0]]))
    found = some.spread(np.array([False, True]))
    assert found.items.tolist() == [[-1, -1], [3, 1]]
    assert found.scores.tolist() == [[-np.inf, -np.inf], [2, 1]]
