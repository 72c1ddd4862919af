"""Four items of two categories: a and b are comedies, c is a drama, d is both; nobody has taken d."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from jobs.recommender.judged import Items
from jobs.recommender.list_qualities import Qualities, known_of

TAKERS = [7, 3, 1, 0]
CATALOGUE = pa.table(
    {"item_id": list("abcd"), "categories": [["Comedy"], ["Comedy"], ["Drama"], ["Comedy", "Drama"]]}
)


def qualities(vectors: dict[str, list[float]] | None = None, catalogue: pa.Table = CATALOGUE) -> Qualities:
    counts = np.array(TAKERS)
    items = Items(pa.array("abcd"), counts, counts, np.ones(4, dtype=bool), 15)
    rows = vectors or {}
    embeddings = pa.table(
        {
            "item_id": pa.array(list(rows), pa.string()),
            "embedding": pa.array(list(rows.values()), pa.list_(pa.float32())),
            "model_id": pa.array(["m"] * len(rows), pa.string()),
        }
    )
    return known_of(items, catalogue, embeddings)


def lists(*rows: Sequence[int]) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


def test_novelty_is_the_surprise_of_an_item_in_bits() -> None:
    values = qualities().novelty(lists([0, 1], [3, -1], [-1, -1]))
    # (7 + 1) / (15 + 1) is one bit, (3 + 1) / 16 two; an item nobody took is as surprising as one of 16
    assert values[:2].tolist() == [1.5, 4]
    assert math.isnan(values[2])


def test_popularity_bias_is_how_much_more_popular_a_list_is_than_what_was_taken() -> None:
    taken = csr_matrix(np.array([[0, 0, 0, 1.0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    values = qualities().popularity_bias(lists([0, 1], [0, -1], [0, 1]), taken)
    # percentiles are 1, 2/3, 1/3, 0
    assert values[:2].tolist() == [pytest.approx(5 / 6), 0]
    assert math.isnan(values[2])


def test_items_as_popular_as_each_other_share_a_percentile() -> None:
    same = Qualities(np.array([5, 5]), 9, csr_matrix((2, 0)), np.zeros((2, 1), dtype=np.float32))
    taken = csr_matrix(np.array([[0, 1.0]]))
    assert same.popularity_bias(lists([0]), taken).tolist() == [0]


def test_diversity_is_the_mean_distance_of_the_pairs() -> None:
    known = qualities({"a": [2, 0], "b": [0, 3], "c": [-1, 0]})
    values = known.diversity(lists([0, 1, -1], [0, 1, 2], [0, 3, -1]))
    # cosines: ab 0, ac -1, bc 0
    assert values[:2].tolist() == pytest.approx([1, 4 / 3])
    # d has no vector, and one item is no pair
    assert math.isnan(values[2])


def test_without_vectors_items_are_as_alike_as_their_categories() -> None:
    values = qualities().diversity(lists([0, 1], [0, 2], [0, 3]))
    assert values.tolist() == pytest.approx([0, 1, 1 - 1 / math.sqrt(2)])


def test_a_list_with_the_shares_of_the_history_is_calibrated() -> None:
    taste = csr_matrix(np.array([[0.5, 0.5], [1, 0], [0, 0]]))
    values = qualities().miscalibration(lists([0, 2], [2, -1], [0, 1]), taste)
    assert values[0] == 0
    # All comedy before, all drama now: the list's share of comedy is smoothed to 0.01
    assert values[1] == pytest.approx(math.log(1 / 0.01))
    # Nothing is known of the third user's taste
    assert math.isnan(values[2])


def test_an_item_of_two_categories_is_half_of_each() -> None:
    taste = csr_matrix(np.array([[0.5, 0.5]]))
    assert qualities().miscalibration(lists([3, -1]), taste).tolist() == [0]


def test_a_catalogue_without_categories_has_no_calibration() -> None:
    bare = CATALOGUE.set_column(1, "categories", pa.array([[]] * 4, pa.list_(pa.string())))
    known = qualities(catalogue=bare)
    assert math.isnan(known.miscalibration(lists([0, 1]), csr_matrix((1, 0)))[0])
    assert math.isnan(known.diversity(lists([0, 1]))[0])
