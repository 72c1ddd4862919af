"""Recall by decayed popularity: what many users took lately, the same order for everyone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import Proposals

# Users looked at together.
_USERS = 256


@dataclass(frozen=True)
class Trending:
    """Items by the sum of their events, each halved every half-life.

    order: item codes, best first. popularity: of the items in `order`.
    """

    order: Codes
    popularity: NDArray[np.float64]
    name: str = "trending"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The first n items of the order that each user has not seen."""
        place = np.full(seen.shape[1], len(self.order), dtype=np.int64)
        place[self.order] = np.arange(len(self.order))
        n = min(n, len(self.order))
        found = Proposals(np.full((len(users), n), -1, dtype=np.int32), np.full((len(users), n), -np.inf))
        # Users who saw equally much need equally many places of the order.
        by_length = np.argsort(np.diff(seen.indptr), kind="stable")
        for start in range(0, len(users) if n else 0, _USERS):
            self._fill(found, by_length[start : start + _USERS], place, seen)
        return found

    def _fill(
        self, found: Proposals, rows: NDArray[np.intp], place: NDArray[np.int64], seen: csr_matrix
    ) -> None:
        part, n = seen[rows], found.items.shape[1]
        width = min(len(self.order), n + int(np.diff(part.indptr).max()))
        unseen = np.ones((len(rows), width), dtype=bool)
        lines, items = part.nonzero()
        inside = place[items] < width
        unseen[lines[inside], place[items][inside]] = False
        position = unseen.cumsum(axis=1)
        line, column = np.nonzero(unseen & (position <= n))
        target = position[line, column] - 1
        found.items[rows[line], target] = self.order[column]
        found.scores[rows[line], target] = self.popularity[column]


def fit(history: History, half_life_days: float, whole_catalogue: bool = False) -> Trending:
    """Order items by decayed popularity; with the whole catalogue, those without an event come last."""
    popularity = decayed(history, half_life_days)
    touched = np.bincount(history.items, minlength=len(history.item_ids)) > 0
    order = np.argsort(-popularity, kind="stable")
    order = order if whole_catalogue else order[touched[order]]
    return Trending(order.astype(np.int32), popularity[order])


def decayed(history: History, half_life_days: float) -> NDArray[np.float64]:
    """The sum of each item's events, each halved every half-life: shape (items,).

    To single precision, so that sums that differ by the order of the events only are ties.
    """
    fading = np.exp2(-history.ages.astype(np.float64) / half_life_days)
    sums = np.bincount(history.items, fading, minlength=len(history.item_ids))
    return sums.astype(np.float32).astype(np.float64)
