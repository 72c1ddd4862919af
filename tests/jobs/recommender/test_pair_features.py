import numpy as np
import pyarrow as pa
import pytest

from jobs.recommender import pair_features
from jobs.recommender.pair_features import cosines, flat, sets, sums

WORDS = pa.array(["a", "b", "c"])


def test_sets_hold_each_known_entry_once():
    found = sets(pa.array([["b", "a", "b"], None, ["x", "c"], []]), WORDS)
    rows, codes = found.of(np.array([2, 0, 3, 0]))
    assert (rows.tolist(), codes.tolist()) == ([0, 1, 1, 3, 3], [2, 0, 1, 0, 1])


@pytest.mark.parametrize("cells", [1, 4_000_000])
def test_weights_of_shared_words_are_added_however_many_users_at_once(cells, monkeypatch):
    monkeypatch.setattr(pair_features, "_CELLS", cells)
    items = sets(pa.array([["a", "b"], ["c"], []]), WORDS)
    words = flat(pa.array([["a", "x", "b"], None, ["c", "c"]]), WORDS)
    of_user, of_item = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 1, 2])
    weights = np.array([0.5, 9.0, 0.25, 0.5, 0.25])
    assert sums(words, weights, items, 3, of_user, of_item).tolist() == [0.75, 0, 0, 0.75, 0]
    # without weights a word counts once, however often the user has it
    assert sums(words, None, items, 3, of_user, of_item).tolist() == [2, 0, 0, 1, 0]


def test_cosines_with_the_mean_the_last_and_the_three_largest():
    items = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0], [0, 0]], dtype=np.float32)
    known = np.array([True, True, True, True, False])
    users = np.array([[0, 1], [np.nan, np.nan]], dtype=np.float32)
    recent = [np.array([1, 0, 3, 2]), np.array([], dtype=np.int64)]
    own, last, largest = cosines(items, known, users, recent, np.array([0, 2, 3]), np.array([0, 4, 0]))
    assert own == pytest.approx([0.0, np.nan, np.nan], nan_ok=True)
    assert last == pytest.approx([0.6, np.nan, np.nan], nan_ok=True)
    assert largest == pytest.approx([1.6 / 3, np.nan, np.nan], nan_ok=True)
