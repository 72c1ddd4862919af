"""Recall by popularity in a user's categories: what is taken lately in the shelves the user visits."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix, diags

from jobs.recommender import trending
from jobs.recommender.history import Codes, History, codes
from jobs.recommender.proposals import Proposals, best_of_product, best_of_rows

# Items of a category that it can propose: with some categories a user more than any list holds.
_PER_CATEGORY = 300


@dataclass(frozen=True)
class TrendingCategory:
    """How a user's events spread over categories, and how each category's spread over items.

    tastes: shape (users, categories). shelves: shape (categories, items). Rows sum to 1 or are empty.
    """

    tastes: csr_matrix
    shelves: csr_matrix
    name: str = "trending_category"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n unseen items with the largest sum over categories of the user's share times the item's."""
        return best_of_product(self.tastes[users], self.shelves, n, seen)


def fit(history: History, items: pa.Table, half_life_days: float) -> TrendingCategory:
    """Shares of users and items in categories, each event halved every half-life.

    items: item_id and categories. An item counts equally for each of its categories.
    """
    belongs = _memberships(items, history.item_ids)
    popularity = trending.decayed(history, half_life_days)
    shelves = _shares(_longest((diags(popularity) @ belongs).T.tocsr()))
    fading = np.exp2(-history.ages.astype(np.float64) / half_life_days)
    shape = (len(history.user_ids), len(history.item_ids))
    tastes = csr_matrix((fading, (history.users, history.items)), shape=shape) @ belongs
    return TrendingCategory(_shares(tastes.tocsr()), shelves)


def _memberships(items: pa.Table, item_ids: pa.Array) -> csr_matrix:
    """1 / number of categories where an item has a category: shape (items, categories)."""
    named = items["categories"].combine_chunks()
    at = codes(items["item_id"], item_ids)[pc.list_parent_indices(named).to_numpy()]
    coded = pc.list_flatten(named).dictionary_encode()
    places = coded.indices.to_numpy(zero_copy_only=False)
    listed = at >= 0
    ones = np.ones(int(listed.sum()))
    shape = (len(item_ids), len(coded.dictionary))
    matrix = csr_matrix((ones, (at[listed], places[listed])), shape=shape)
    matrix.sum_duplicates()
    return _shares(matrix)


def _shares(matrix: csr_matrix) -> csr_matrix:
    """Each row divided by its sum; rows without any stay empty."""
    matrix.eliminate_zeros()
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    matrix.data = matrix.data / np.repeat(sums, np.diff(matrix.indptr))
    return matrix


def _longest(shelves: csr_matrix) -> csr_matrix:
    """The shelves with the best items of each, so that a user's work does not grow with the catalogue."""
    nothing_seen = csr_matrix(shelves.shape, dtype=np.float32)
    found = best_of_rows(shelves, min(_PER_CATEGORY, shelves.shape[1]), nothing_seen)
    kept = found.items >= 0
    rows = np.nonzero(kept)[0]
    return csr_matrix((found.scores[kept], (rows, found.items[kept])), shape=shelves.shape)
