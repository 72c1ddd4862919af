"""What lists are like apart from being right: how new, how popular, how varied, how true to a user's taste.

Lists are item codes, best first, -1 where there is no more: shape (users, places). Each measure has one value
a user, NaN where it cannot be taken.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from jobs.recommender.history import Codes, Floats, codes
from jobs.recommender.intervals import PerUser
from jobs.recommender.judged import Items
from jobs.recommender.vectors import aligned

# How far a list's shares of categories are moved to the user's own, so that none is zero (Steck's alpha).
SMOOTHING = 0.01


@dataclass(frozen=True)
class Qualities:
    """What is known of the items before the night; every array has one entry an item.

    takers: users who had taken it, out of `users`. categories: shape (items, categories), rows sum to one or
    are empty. directions: rows of length one (or zero where nothing is known) whose products say how alike
    two items are: vectors of their texts, or their categories.
    """

    takers: NDArray[np.int64]
    users: int
    categories: csr_matrix
    directions: Floats | csr_matrix

    @cached_property
    def _directed(self) -> NDArray[np.float64]:
        """Which items have a direction."""
        if isinstance(self.directions, csr_matrix):
            return (np.diff(self.directions.indptr) > 0).astype(float)
        return self.directions.any(axis=1).astype(float)

    def novelty(self, lists: Codes) -> PerUser:
        """Mean self-information of the items in bits: -log2 of the share of users who had taken them.

        One taker is added to every item, for one that nobody had taken is new and not infinitely so.
        Source: Castells, Vargas and Wang, 2011.
        """
        return _mean_of(-np.log2((1 + self.takers) / (1 + self.users)), lists)

    def popularity_bias(self, lists: Codes, taken: csr_matrix) -> PerUser:
        """Mean popularity percentile of the list minus that of what the user took: -1 to 1.

        taken: what each user took after the night, ones, shape (users, items). 0: as popular as that.
        """
        percentile = _percentiles(self.takers)
        counts = np.diff(taken.indptr)
        wanted = np.divide(taken @ percentile, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return _mean_of(percentile, lists) - wanted

    def diversity(self, lists: Codes) -> PerUser:
        """Mean of 1 - cosine over the pairs of items of a list that have a direction: 0 to 2.

        Source: Ziegler et al., 2005.
        """
        listed = _matrix(lists, self.directions.shape[0])
        together = listed @ self.directions
        together = np.asarray(together.todense() if isinstance(together, csr_matrix) else together)
        n = listed @ self._directed
        # The squared length of a sum of n rows of length one is n and twice the products of all pairs.
        alike = np.einsum("ud,ud->u", together, together) - n
        pairs = n * (n - 1)
        return 1 - np.divide(alike, pairs, out=np.full(len(n), np.nan), where=pairs > 0)

    def miscalibration(self, lists: Codes, taste: csr_matrix) -> PerUser:
        """Kullback-Leibler divergence in nats of a list's categories from the user's own: 0 is calibrated.

        taste: shares of the categories of what each user had taken before the night, rows sum to one or are
        empty: shape (users, categories). Source: Steck, 2018.
        """
        shown = (_matrix(lists, self.categories.shape[0]) @ self.categories).tocsr()
        total = np.asarray(shown.sum(axis=1)).ravel()
        known = (total > 0) & (np.diff(taste.indptr) > 0)
        users = np.repeat(np.arange(taste.shape[0]), np.diff(taste.indptr))
        wanted = taste.data
        given = np.asarray(shown[users, taste.indices]).ravel() / np.maximum(total[users], 1e-12)
        near = (1 - SMOOTHING) * given + SMOOTHING * wanted
        parts = np.bincount(users, wanted * np.log(wanted / near), minlength=taste.shape[0])
        # Rounding can leave a perfect list a hair below zero.
        return np.where(known, np.maximum(parts, 0.0), np.nan)


def known_of(items: Items, catalogue: pa.Table, embeddings: pa.Table) -> Qualities:
    """What is known of a night's items: rows of its tables items and item_embeddings (which may be none).

    Without vectors two items are as alike as their categories.
    """
    has = _categories(items, catalogue)
    vectors = aligned(embeddings, "item_id", items.ids)
    lengths = np.sqrt(np.diff(has.indptr))
    directions = vectors.matrix if vectors.known.any() else _scaled(has, lengths)
    return Qualities(items.takers, items.users, _scaled(has, np.diff(has.indptr)), directions)


def _categories(items: Items, catalogue: pa.Table) -> csr_matrix:
    """Ones where an item has a category: shape (items, categories)."""
    lists = catalogue["categories"].combine_chunks()
    names = pc.list_flatten(lists)
    rows = codes(catalogue["item_id"], items.ids)[pc.list_parent_indices(lists).to_numpy()]
    every = pc.unique(names).sort()
    shape = (len(items.ids), len(every))
    has = csr_matrix((np.ones(len(rows)), (rows, codes(pa.chunked_array([names]), every))), shape=shape)
    has.sum_duplicates()
    has.data[:] = 1
    return has


def _scaled(has: csr_matrix, by: NDArray[np.number]) -> csr_matrix:
    return (diags(np.divide(1.0, by, out=np.zeros(len(by)), where=by > 0)) @ has).tocsr()


def _matrix(lists: Codes, items: int) -> csr_matrix:
    """Ones where an item is on a user's list."""
    users, places = np.nonzero(lists >= 0)
    ones = np.ones(len(users), dtype=np.float64)
    return csr_matrix((ones, (users, lists[users, places])), shape=(len(lists), items))


def _mean_of(of_item: NDArray[np.float64], lists: Codes) -> PerUser:
    listed = lists >= 0
    counts = listed.sum(axis=1)
    total = np.where(listed, of_item[lists], 0.0).sum(axis=1) if len(of_item) else np.zeros(len(lists))
    return np.divide(total, counts, out=np.full(len(lists), np.nan), where=counts > 0)


def _percentiles(takers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the other items that have fewer takers, those that have as many counting half."""
    if len(takers) < 2:
        return np.zeros(len(takers))
    _, level, sizes = np.unique(takers, return_inverse=True, return_counts=True)
    fewer = np.cumsum(sizes) - sizes
    return (fewer + (sizes - 1) / 2)[level] / (len(takers) - 1)
