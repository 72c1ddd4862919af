"""Recall by text: items that are near to something the user took lately, whether anybody took them or not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from jobs.recommender.history import Codes, Floats, History
from jobs.recommender.proposals import Proposals, nearest
from jobs.recommender.vectors import Vectors

# Neighbours kept of each item: what a history item can propose.
NEIGHBOURS = 100
# Similarities that count: near to three items of the history says more than fairly near to all of them.
_COUNTED = 3
# Items whose neighbours are looked for together; cosines, and places of the catalogue, looked at together.
_ITEMS, _COSINES, _PLACES = 8192, 1_000_000, 64_000_000
# A cosine is kept in millionths. Packed with an item into one integer, a sort by both is a sort of integers.
_MILLION, _BITS, _ITEM_BITS = 1_000_000, 22, 32
_ABSENT = np.iinfo(np.int64).max


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
        places = self.recent.shape[1] * self.neighbours.shape[1]
        if not places:
            return Proposals.nothing(len(users))
        n = min(n, places)
        size = max(1, min(_COSINES // places, _PLACES // seen.shape[1]))
        blocks = [
            _best(self._packed(users[start : start + size], seen[start : start + size]), n)
            for start in range(0, len(users), size)
        ]
        return Proposals.joined(blocks, n)

    def _packed(self, users: Codes, seen: csr_matrix) -> NDArray[np.int64]:
        """Every unseen neighbour of the users' last items with its cosine, sorted: shape (users, places).

        By item, larger cosines first; what is not there comes last.
        """
        recent = self.recent[users]
        barred = np.zeros(seen.shape, dtype=bool)
        barred[np.repeat(np.arange(len(users)), np.diff(seen.indptr)), seen.indices] = True
        items = self.neighbours[recent].reshape(len(users), -1)
        cosines = self.similarities[recent].reshape(items.shape).astype(np.float64)
        away = np.round((1 - np.clip(cosines, -1, 1)) * _MILLION).astype(np.int64)
        packed = (items.astype(np.int64) << _BITS) + away
        absent = np.repeat(recent < 0, self.neighbours.shape[1], axis=1) | (items < 0)
        packed[absent | np.take_along_axis(barred, items, axis=1)] = _ABSENT
        packed.sort(axis=1)
        return packed


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


def _best(packed: NDArray[np.int64], n: int) -> Proposals:
    """The n items of each row with the largest mean of their largest cosines, absent ones counting 0."""
    items = packed >> _BITS
    cosines = np.where(packed == _ABSENT, 0, _MILLION - (packed & (2**_BITS - 1)))
    total = cosines.copy()
    for further in range(1, min(_COUNTED, packed.shape[1])):
        same = items[:, further:] == items[:, :-further]
        total[:, :-further] += np.where(same, cosines[:, further:], 0)
    key = ((_COUNTED * _MILLION - total) << _ITEM_BITS) + items
    key[packed == _ABSENT] = _ABSENT
    key[:, 1:][items[:, 1:] == items[:, :-1]] = _ABSENT
    if n < key.shape[1]:
        key = np.partition(key, n - 1, axis=1)[:, :n]
    key.sort(axis=1)
    there = key != _ABSENT
    mean = np.round((_COUNTED - (key >> _ITEM_BITS) / _MILLION) / _COUNTED, 6)
    found = np.where(there, key & (2**_ITEM_BITS - 1), -1).astype(np.int32)
    return Proposals(found, np.where(there, mean, -np.inf))
