"""The references on a shop of two tastes, by hand: whom they rank how, ties, and what they may learn from."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from feature_store.settings import load_settings
from infra.benchmarks import cold_start_references as references
from infra.benchmarks.cold_start_known import Known
from infra.benchmarks.cold_start_references import REFERENCES, chosen, largest, recall_of, top, within
from jobs.recommender.history import History
from jobs.recommender.vectors import Vectors

RECALL = load_settings().recall


def known(pairs, vectors, cold, texts=None):
    """Users and items by number; a vector of nothing but zeros is unknown."""
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    ids = [pa.array([f"{kind}{n:02d}" for n in range(count)]) for kind, count in _sizes(users, vectors)]
    ages = np.ones(len(users), dtype=np.float32)
    history = History(ids[0], ids[1], users, items, ages, ages, np.ones(len(ids[0]), dtype=np.float32), None)
    matrix = np.array(vectors, dtype=np.float32)
    return Known(
        history,
        texts or [""] * len(vectors),
        Vectors(matrix, matrix.any(axis=1), "by hand"),
        np.array(cold, dtype=np.int32),
        None,
    )


def _sizes(users, vectors):
    return (("u", users.max() + 1), ("i", len(vectors)))


def unit(degrees):
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]


def scores(name, one, users=(0,), **setting):
    return REFERENCES[name][0](one, RECALL, **setting)(np.array(users, dtype=np.int32))


# user 0 took items 0 (0 degrees) and 1 (90); items 2 (0 degrees) and 3 (45) are held out
CORNER = known([(0, 0), (0, 1)], [unit(0), unit(90), unit(0), unit(45)], cold=[2, 3])


def test_mean_and_top3_by_hand():
    half = np.cos(np.radians(45))
    assert scores("mean", CORNER) == pytest.approx(np.array([[0.5, half]]))
    assert scores("top3", CORNER) == pytest.approx(np.array([[0.5, half]]))
    more = known([(0, n) for n in range(4)], [unit(0), unit(0), unit(0), unit(90), unit(0)], cold=[4])
    # three of the four point there
    assert scores("top3", more) == pytest.approx(np.array([[1.0]]))
    assert scores("mean", more) == pytest.approx(np.array([[0.75]]))


def test_tfidf_compares_words():
    texts = ["red cup", "steel hammer", "blue cup", "hammer handle"]
    one = known([(0, 0)], np.eye(4).tolist(), cold=[2, 3], texts=texts)
    found = scores("tfidf", one)
    assert found[0, 0] > found[0, 1] == 0


def test_neighbours_give_their_factors_to_a_held_out_item():
    pairs = [(u, i) for u in range(12) for i in range(8) if u % 2 == i % 2]
    vectors = [unit(90 * (i % 2) + i) for i in range(10)]
    one = known(pairs, vectors, cold=[8, 9])
    for name, setting in (("neighbours", {"nearest": 3}), ("ridge", {"penalty": 0.1})):
        found = scores(name, one, users=(0, 1), factors=8, **setting)
        assert found[0, 0] > found[0, 1], name  # an even user, an even item
        assert found[1, 1] > found[1, 0], name


def test_the_factors_of_one_neighbour_are_its_own():
    one = known([(0, 0), (1, 1)], [unit(0), unit(90), unit(10)], cold=[2])
    fitted = references._als(one, RECALL, 4)
    found = scores("neighbours", one, users=(0, 1), factors=4, nearest=1)
    assert found[:, 0] == pytest.approx(fitted.user_factors @ fitted.item_factors[0], rel=1e-5)


def test_random_is_the_same_for_a_user_whoever_else_is_scored():
    pairs = [(0, 0), (1, 0), (2, 0)]
    one = known(pairs, [unit(0)] * 6, cold=[1, 2, 3, 4, 5])
    assert np.array_equal(scores("random", one, (1, 2))[0], scores("random", one, (1,))[0])
    assert not np.array_equal(*scores("random", one, (0, 1)))


def test_ties_go_to_the_smaller_item_and_blocks_change_nothing(monkeypatch):
    def scorer(users):
        return np.tile([0.1, 0.3, 0.3 + 1e-9, 0.2], (len(users), 1))

    users = np.arange(5, dtype=np.int32)
    assert top(scorer, users).tolist() == [[1, 2, 3, 0]] * 5
    monkeypatch.setattr(references, "BLOCK", 2)
    assert top(scorer, users).tolist() == [[1, 2, 3, 0]] * 5


def test_recall_is_the_share_of_what_was_taken():
    truth = csr_matrix(np.array([[1, 1, 0, 1], [0, 0, 1, 0]]))
    assert recall_of(np.array([[0, 2], [2, 1]]), truth) == pytest.approx([1 / 3, 1])


def test_a_user_without_items_has_no_similarity():
    found = largest(lambda user: np.array([], dtype=np.int32), np.ones((2, 3)))(np.array([0]))
    assert found.tolist() == [[0, 0, 0]]


def shop():
    """Two tastes and noise: 30 users, 40 known items and 10 held out."""
    generator = np.random.default_rng(0)
    pairs = {(u, 2 * int(generator.integers(20)) + u % 2) for u in range(30) for _ in range(12)}
    vectors = [unit(90 * (i % 2) + generator.normal(0, 9)) for i in range(50)]
    return known(sorted(pairs), vectors, cold=range(40, 50))


def test_settings_are_chosen_among_known_items_alone():
    one = shop()
    inner, truth = within(one, RECALL.seed)
    assert len(inner.cold) == 8
    assert not set(inner.cold) & set(one.cold)
    assert not set(inner.history.items) & set(inner.cold)
    assert truth.shape == (30, 8)
    # every hidden event is in the truth, and no other
    assert len(inner.history.items) + truth.nnz == len(one.history.items)
    for name, (_, grid) in REFERENCES.items():
        setting = chosen(name, one, RECALL)
        assert set(setting) == set(grid)
        assert all(value in grid[key] for key, value in setting.items())
