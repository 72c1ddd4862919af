"""Recall of what a user has taken before and is due to take again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import Proposals, best_of_rows

Whole = NDArray[np.signedinteger]

# Users it takes to believe that an item is taken again more or less often than items are in general.
_PRIOR = 10.0


@dataclass(frozen=True)
class Repeat:
    """How likely each user is to take each of its items again.

    due: shape (users, items), empty where switched off.
    """

    due: csr_matrix
    name: str = "repeat"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The user's own items that are most due; none that is in `seen`."""
        n = min(n, seen.shape[1])
        if not self.due.nnz or not n:
            return Proposals.nothing(len(users))
        return best_of_rows(self.due[users], n, seen)


def fit(history: History, repeats: bool) -> Repeat:
    """Estimate how soon each user takes each of its items again; without repeats nothing is ever due.

    Of a user who took an item on k days, the first f and the last w days ago, the rate is that of a Gamma
    prior with the item's mean interval d between two such days: k / (d + f). While the next interval is not
    long over (w < 2 d) the distance |w - d| from its end is added twice to the time, so that an item is
    proposed when it is due. The rate is multiplied by the share of the item's users who ever took it again.
    Source: Bhagat et al., Buy It Again, 2018.
    """
    shape = (len(history.user_ids), len(history.item_ids))
    if not repeats or not len(history.users):
        return Repeat(csr_matrix(shape, dtype=np.float32))
    users, items, days, first, last = _days_of_pairs(history)
    if not len(users):
        return Repeat(csr_matrix(shape, dtype=np.float32))
    again, interval = _of_items(items, days, first - last, shape[1])
    mean = interval[items]
    distance = np.where(last < 2 * mean, 2 * np.abs(last - mean), 0)
    rate = again[items] * days / (mean + first + distance)
    return Repeat(csr_matrix((rate, (users, items)), shape=shape))


def _days_of_pairs(history: History) -> tuple[Whole, Whole, Whole, NDArray[np.float64], NDArray[np.float64]]:
    """Users and items of each pair, its days with an event, and the ages of the first and the last.

    Several events of a day are one: an invoice with two lines of an article is no repetition.
    """
    liked = history.weights > 0
    pairs = history.users[liked] * np.int64(len(history.item_ids)) + history.items[liked]
    day = np.floor(history.ages[liked]).astype(np.int64)
    order = np.lexsort((day, pairs))
    pairs, day = pairs[order], day[order]
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = (pairs[1:] != pairs[:-1]) | (day[1:] != day[:-1])
    pairs, day = pairs[new], day[new]
    distinct, starts, counts = np.unique(pairs, return_index=True, return_counts=True)
    users, items = np.divmod(distinct, len(history.item_ids))
    first, last = day[starts + counts - 1], day[starts]
    return users, items, counts, first.astype(np.float64), last.astype(np.float64)


def _of_items(
    items: Whole, days: Whole, spans: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each item's share of users who took it again and its mean interval, both drawn to those of all."""
    users = np.bincount(items, minlength=size)
    returned = np.bincount(items, days > 1, minlength=size)
    gaps, time = np.bincount(items, days - 1, minlength=size), np.bincount(items, spans, minlength=size)
    usual = (days > 1).mean()
    # Where nobody ever came back an interval says nothing; a day keeps the rate finite.
    mean = max(time.sum() / max(gaps.sum(), 1), 1.0)
    again = (returned + _PRIOR * usual) / (users + _PRIOR)
    return np.maximum(again, 1e-6), (time + _PRIOR * mean) / (gaps + _PRIOR)
