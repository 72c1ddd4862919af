"""Recall by text: items that are near to something the user took lately, whether anybody took them or not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from jobs.recommender.history import Codes, Floats, History
from jobs.recommender.lists import best
from jobs.recommender.proposals import Proposals, nearest
from jobs.recommender.vectors import Vectors

# Neighbours kept of each item: what a history item can propose.
NEIGHBOURS = 100
# Similarities that count: near to three items of the history says more than fairly near to all of them.
_COUNTED = 3
# Items whose neighbours are looked for together, and pairs of users and items looked at together.
_ITEMS, _PAIRS = 8192, 32_000_000
_MILLION, _SCALE = 1_000_000, 4_000_000


@dataclass(frozen=True)
class Content:
    """Each item's neighbours and each user's last items; -1 where there are fewer.

    neighbours, similarities: shape (items, k). recent: shape (users, last).
    """

    neighbours: Codes
    similarities: Floats
    recent: Codes
    name: str = "content"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n unseen items with the largest mean of their three largest cosines to the user's last items.

        A cosine that is not among the neighbours' counts 0.
        """
        found = Proposals(np.full((len(users), n), -1, dtype=np.int32), np.full((len(users), n), -np.inf))
        size = max(1, min(_PAIRS // seen.shape[1], _PAIRS // max(self.recent.shape[1] * NEIGHBOURS, 1)))
        for start in range(0, len(users), size):
            block = slice(start, start + size)
            rows, items, scores = self._scored(users[block], seen[block])
            order, ranks = best(rows, items, scores, n)
            found.items[rows[order] + start, ranks - 1] = items[order]
            found.scores[rows[order] + start, ranks - 1] = scores[order]
        return found

    def _scored(
        self, users: Codes, seen: csr_matrix
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Every unseen neighbour of the users' last items: user rows, items, scores."""
        recent = self.recent[users]
        rows, places = np.nonzero(recent >= 0)
        items = self.neighbours[recent[rows, places]]
        near = items >= 0
        keys = (rows[:, None] * np.int64(seen.shape[1]) + items)[near]
        cosines = self.similarities[recent[rows, places]][near].astype(np.float64)
        unseen = (seen.toarray() == 0).ravel()[keys]
        pairs, scores = _mean_of_largest(keys[unseen], cosines[unseen])
        return *np.divmod(pairs, max(seen.shape[1], 1)), scores


def fit(history: History, items: Vectors, last: int) -> Content:
    """Find each item's neighbours by cosine, and each user's `last` newest items."""
    known = np.flatnonzero(items.known).astype(np.int32)
    matrix = items.matrix[known]
    width = min(NEIGHBOURS, max(len(known) - 1, 0))
    neighbours = np.full((len(items.known), width), -1, dtype=np.int32)
    similarities = np.zeros((len(items.known), width), dtype=np.float32)
    itself = identity(len(known), dtype=np.float32, format="csr")
    for start in range(0, len(known) if width else 0, _ITEMS):
        block = slice(start, start + _ITEMS)
        found = nearest(matrix, matrix[block], width, itself[block], np.ones(len(known), dtype=bool))
        neighbours[known[block]], similarities[known[block]] = known[found.items], found.scores
    return Content(neighbours, similarities, _recent(history, last))


def _recent(history: History, last: int) -> Codes:
    """The newest items of each user, an item once: shape (users, last)."""
    order = np.lexsort((history.items, history.ages, history.users))
    pairs = history.users[order] * np.int64(len(history.item_ids)) + history.items[order]
    order = order[np.sort(np.unique(pairs, return_index=True)[1])]
    users = history.users[order]
    places = np.arange(len(users)) - np.searchsorted(users, users)
    kept = places < last
    recent = np.full((len(history.user_ids), last), -1, dtype=np.int32)
    recent[users[kept], places[kept]] = history.items[order[kept]]
    return recent


def _mean_of_largest(
    keys: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Distinct keys and the mean of their largest values, absent ones counting 0."""
    # One sort of integers, key above and value below, is several times faster than a sort by two columns.
    packed = keys * _SCALE + np.round((1 - np.clip(values, -1, 1)) * _MILLION).astype(np.int64)
    keys, rest = np.divmod(np.sort(packed), _SCALE)
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(first)
    place = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    counted = np.where(place < _COUNTED, 1 - rest / _MILLION, 0)
    totals = np.add.reduceat(counted, starts) if len(starts) else counted
    return keys[starts], np.round(totals / _COUNTED, 6)
