import numpy as np
import pytest
from scipy.sparse import csr_matrix

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


@pytest.mark.parametrize("items", [5, 300])
def test_ties_go_to_the_smaller_code_even_over_the_last_place(items):
    """300 equal items are more than are fetched to settle a tie, so all of them have to be ranked."""
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


def test_spread_leaves_the_others_without_proposals():
    some = Proposals(np.array([[3, 1]], dtype=np.int32), np.array([[2.0, 1.0]]))
    found = some.spread(np.array([False, True]))
    assert found.items.tolist() == [[-1, -1], [3, 1]]
    assert found.scores.tolist() == [[-np.inf, -np.inf], [2, 1]]
