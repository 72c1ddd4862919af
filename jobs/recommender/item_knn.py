"""Recall by item neighbours: what the same users took beside what a user took."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, identity, vstack

from feature_store.sections import Recall
from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import Proposals, best_of_rows

# Newest items of a user that similarities are taken from: two items in a list of thousands say little of each
# other, and the work grows with the square of the list.
_LONGEST = 1000
# Scores held at once (entries of a sparse matrix, at most).
_ENTRIES = 16_000_000


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
        n = min(n, seen.shape[1])
        if not self.neighbours.nnz or not n:
            return Proposals.nothing(len(users))
        size = max(1, _ENTRIES // seen.shape[1])
        blocks = [
            best_of_rows(
                self.wants[users[start : start + size]] @ self.neighbours, n, seen[start : start + size]
            )
            for start in range(0, len(users), size)
        ]
        return Proposals.joined(blocks, n)


def fit(history: History, settings: Recall) -> ItemKnn:
    """Find each item's neighbours, and how much each user wants what it took; both without decay at 0.

    A similarity is that of the two sets of users who took the items, times c / (c + knn_shrinkage) where they
    share c users. Source: Sarwar et al., 2001; jaccard as in SAR (Microsoft Recommenders).
    """
    wants = history.strengths(settings.knn_half_life_days)
    return ItemKnn(_neighbours(_shortened(history), settings), wants)


def _neighbours(taken: csr_matrix, settings: Recall) -> csr_matrix:
    """Similarities of each item to its nearest: shape (items, items)."""
    size = taken.shape[1]
    counts = np.bincount(taken.indices, minlength=size).astype(np.float64)
    by_item, itself = taken.T.tocsr(), identity(size, dtype=np.float32, format="csr")
    block, n = max(1, _ENTRIES // max(size, 1)), min(settings.knn_neighbours, max(size - 1, 0))
    rows = [csr_matrix((0, size), dtype=np.float32)]
    for start in range(0, size if n else 0, block):
        shared = (by_item[start : start + block] @ taken).tocsr()
        one = np.repeat(counts[start : start + block], np.diff(shared.indptr))
        other, both = counts[shared.indices], shared.data.astype(np.float64)
        whole = np.sqrt(one * other) if settings.knn_similarity == "cosine" else one + other - both
        shared.data = both / whole * (both / (both + settings.knn_shrinkage))
        found = best_of_rows(shared, n, itself[start : start + block])
        rows.append(_as_matrix(found, size))
    return vstack(rows, format="csr")


def _as_matrix(found: Proposals, size: int) -> csr_matrix:
    kept = found.items >= 0
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    values = found.scores[kept].astype(np.float32)
    matrix = csr_matrix((values, found.items[kept], starts), shape=(len(found.items), size))
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
