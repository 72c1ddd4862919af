"""Ordered lists out of scored pairs: the best of each user, and what fills a list that is short."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender import trending
from jobs.recommender.history import Codes, History


@dataclass(frozen=True)
class Lists:
    """Pairs in order of user and rank; every array has one entry a pair, users and items are codes."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]


def best(
    users: NDArray[np.integer], items: NDArray[np.integer], scores: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Places of each user's `limit` best pairs, in order of user and rank, and their ranks from 1.

    Larger scores first, ties by item code.
    """
    order = np.lexsort((items, -scores, users))
    ordered = users[order]
    ranks = np.arange(len(ordered)) - np.searchsorted(ordered, ordered) + 1
    kept = ranks <= limit
    return order[kept], ranks[kept]


def fill(history: History, active: Codes, listed: Lists, top: int, half_life_days: float) -> Lists:
    """What the lists of active users lack to `top`: trending items first, then the rest of the catalogue.

    Scores go on below each user's lowest in steps of 1, so that they order the list and claim nothing else.
    """
    counts = np.bincount(listed.users, minlength=len(history.user_ids))
    short = active[counts[active] < top]
    popular = trending.fit(history, half_life_days, whole_catalogue=True)
    found = popular.recommend(short, top, _taken(history, short, listed))
    rows, places = np.nonzero(found.items >= 0)
    needed = places < (top - counts[short])[rows]
    rows, places = rows[needed], places[needed]
    lowest = np.zeros(len(history.user_ids))
    lowest[listed.users] = np.inf
    np.minimum.at(lowest, listed.users, listed.scores)
    users = short[rows].astype(np.int64)
    return Lists(users, found.items[rows, places].astype(np.int64), lowest[users] - 1 - places)


def _taken(history: History, users: Codes, listed: Lists) -> csr_matrix:
    """Items each user has seen or has on the list already: shape (users, items)."""
    row_of = np.full(len(history.user_ids), -1)
    row_of[users] = np.arange(len(users))
    rows = row_of[listed.users]
    inside = rows >= 0
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    shape = (len(users), len(history.item_ids))
    return csr_matrix(
        history.seen(users) + csr_matrix((ones, (rows[inside], listed.items[inside])), shape=shape)
    )
