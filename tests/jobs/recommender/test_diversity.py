import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recommender.diversity import Alike, rerank
from jobs.recommender.vectors import Vectors

TEXTS = pa.list_(pa.string())


def alike(vectors, categories=None):
    matrix = np.array(vectors, dtype=np.float32)
    known = (matrix != 0).any(axis=1) if matrix.size else np.zeros(len(matrix), dtype=bool)
    categories = categories or [[]] * len(matrix)
    return Alike.of(pa.array(categories, TEXTS), Vectors(matrix, known, "m"))


def order(scores, likeness, top, dial):
    scores = np.array([scores], dtype=float)
    return rerank(np.arange(scores.shape[1])[None, :], scores, likeness, top, dial)[0].tolist()


def test_an_item_like_one_on_the_list_goes_behind_one_that_is_not():
    # relevance 1, 0.5, 0; the second is the first again, the third nothing like it
    likeness = alike([[1, 0], [1, 0], [0, 1]])
    assert order([3.0, 2.0, 1.0], likeness, 3, 0.0) == [0, 1, 2]
    # at 1/4: the second is worth 0.75 * 0.5 - 0.25 * 1 = 0.125, the third 0
    assert order([3.0, 2.0, 1.0], likeness, 3, 0.25) == [0, 1, 2]
    # at 1/2: 0.25 - 0.5 against 0
    assert order([3.0, 2.0, 1.0], likeness, 3, 0.5) == [0, 2, 1]


def test_without_vectors_categories_say_what_is_alike():
    # b shares half of its words with a (cosine 1/2), c none
    likeness = alike(np.zeros((3, 0)), [["x", "y"], ["y", "z"], ["v", "w"]])
    assert likeness.within(np.array([0, 1, 2])).tolist() == [
        [1.0, 0.5, 0.0],
        [0.5, 1.0, 0.0],
        [0.0, 0.0, 1.0],
    ]


def test_a_full_category_waits_behind_the_others_and_is_not_left_out():
    likeness = alike(np.eye(4), [["all", "a"], ["all", "a"], ["all", "a"], ["all", "b"]])
    # at 1/2 at most two of four share their last category; relevance alone would put b last
    assert order([4.0, 3.9, 3.8, 3.0], likeness, 4, 0.5) == [0, 1, 3, 2]
    assert order([4.0, 3.9, 3.8, 3.0], likeness, 4, 0.0) == [0, 1, 2, 3]


def test_items_without_a_category_have_no_cap():
    likeness = alike(np.eye(3))
    assert order([3.0, 2.0, 1.0], likeness, 3, 1.0) == [0, 1, 2]


def test_a_tie_goes_to_the_earlier_place():
    assert order([1.0, 1.0, 1.0], alike(np.eye(3)), 3, 0.3) == [0, 1, 2]


def test_nobody_and_short_pools():
    likeness = alike(np.eye(2))
    assert rerank(np.empty((0, 0), dtype=np.int64), np.empty((0, 0)), likeness, 3, 0.5).shape[0] == 0
    found = rerank(np.array([[1, -1], [-1, -1]]), np.zeros((2, 2)), likeness, 2, 0.5)
    assert found.tolist() == [[0, -1], [-1, -1]]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 6), st.floats(0, 1))
def test_every_list_is_full_and_holds_no_item_twice(seed, pool, top, dial):
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(10, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = alike(vectors, [[str(n)] for n in draw.integers(0, 3, 10)])
    items = np.stack([draw.permutation(10)[:pool] for _ in range(4)])
    found = rerank(items, np.sort(draw.normal(size=items.shape))[:, ::-1], likeness, top, dial)
    assert found.shape == (4, min(top, pool))
    assert all(len(set(row)) == len(row) and min(row) >= 0 for row in found.tolist())
    if dial == 0:
        assert found.tolist() == [list(range(min(top, pool)))] * 4


@pytest.mark.parametrize("dial", [0.2, 0.8])
def test_the_order_of_the_users_changes_nothing(dial):
    draw = np.random.default_rng(3)
    likeness = alike(draw.normal(size=(20, 4)))
    items = np.stack([draw.permutation(20)[:12] for _ in range(300)])
    scores = np.sort(draw.normal(size=items.shape))[:, ::-1]
    backwards = rerank(items[::-1], scores[::-1], likeness, 5, dial)[::-1]
    assert (rerank(items, scores, likeness, 5, dial) == backwards).all()
