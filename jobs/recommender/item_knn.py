"""Recall by item neighbours: what the same users took beside what a user took."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, identity

from feature_store.sections import Recall
from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import ENTRIES, Proposals, best_of_product, best_of_rows

# Newest items of a user that similarities are taken from: two items in a list of thousands say little of each
# other, and the work grows with the square of the list.
_LONGEST = 1000


@dataclass(frozen=True)
class ItemKnn:
    """Each item's nearest items and each user's strengths.

    neighbours: shape (items, items), at most knn_neighbours a row. wants: shape (users, items).
    """

    neighbours: csr_matrix
    wants: csr_matrix
    name: str = "item_knn"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n unseen items with the largest sum of strength times similarity over the user's items."""
        return best_of_product(self.wants[users], self.neighbours, n, seen)


def fit(history: History, settings: Recall, users: Codes | None = None) -> ItemKnn:
    """Find each item's neighbours, and how much each user wants what it took; both without decay at 0.

    A similarity is that of the two sets of users who took the items, times c / (c + knn_shrinkage) where they
    share c users. With `users` only items that those took get neighbours: nobody else may be asked about.
    Source: Sarwar et al., 2001; jaccard as in SAR (Microsoft Recommenders).
    """
    wants = history.strengths(settings.knn_half_life_days)
    asked = wants if users is None else wants[users]
    items = np.unique(asked.indices) if asked.nnz else np.empty(0, dtype=np.int32)
    return ItemKnn(_neighbours(_shortened(history), items, settings), wants)


def _neighbours(taken: csr_matrix, items: Codes, settings: Recall) -> csr_matrix:
    """Similarities of each of the items to those nearest to it: shape (items, items), other rows empty."""
    size = taken.shape[1]
    counts = np.bincount(taken.indices, minlength=size).astype(np.float64)
    by_item, itself = taken.T.tocsr(), identity(size, dtype=np.float32, format="csr")
    block, n = max(1, ENTRIES // max(size, 1)), min(settings.knn_neighbours, max(size - 1, 0))
    found = []
    for start in range(0, len(items) if n else 0, block):
        part = items[start : start + block]
        shared = (by_item[part] @ taken).tocsr()
        one = np.repeat(counts[part], np.diff(shared.indptr))
        other, both = counts[shared.indices], shared.data.astype(np.float64)
        whole = np.sqrt(one * other) if settings.knn_similarity == "cosine" else one + other - both
        shared.data = both / whole * (both / (both + settings.knn_shrinkage))
        found.append(best_of_rows(shared, n, itself[part]))
    return _as_matrix(Proposals.joined(found, n), items, size)


def _as_matrix(found: Proposals, items: Codes, size: int) -> csr_matrix:
    kept = found.items >= 0
    lengths = np.zeros(size, dtype=np.int64)
    lengths[items[: len(kept)]] = kept.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    values = found.scores[kept].astype(np.float32)
    matrix = csr_matrix((values, found.items[kept], starts), shape=(size, size))
    matrix.sort_indices()
    return matrix


def _shortened(history: History) -> csr_matrix:
    """Items each user took and did not take against, as ones; of a long list the newest events only."""
    liked = history.weights > 0
    users, items, ages = history.users[liked], history.items[liked], history.ages[liked]
    if np.bincount(users, minlength=1).max() > _LONGEST:
        order = np.lexsort((items, ages, users))
        ordered = users[order]
        kept = order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < _LONGEST]
        users, items = users[kept], items[kept]
    ones = np.ones(len(users), dtype=np.float32)
    matrix = csr_matrix((ones, (users, items)), shape=(len(history.user_ids), len(history.item_ids)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
