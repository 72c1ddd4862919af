"""Ordered lists out of scored pairs: the best of each user, places for cold items, what fills short lists."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.pair_features import Numbers
from jobs.recommender.trending import Trending


@dataclass(frozen=True)
class Lists:
    """Pairs in order of user and rank; every array has one entry a pair, users and items are codes.

    places: where the pair stands among the candidates, -1 for what filled a list. explored: whether it has
    its place as a cold item.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    places: NDArray[np.int64]
    explored: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        scores: NDArray[np.float64],
        places: NDArray[np.int64],
    ) -> "Lists":
        """The candidates at these places, none of them explored."""
        return cls(users[places], items[places], scores[places], places, np.zeros(len(places), dtype=bool))

    @property
    def ranks(self) -> NDArray[np.int64]:
        """From 1, within each user."""
        return np.arange(len(self.users)) - np.searchsorted(self.users, self.users) + 1

    def then(self, other: "Lists") -> "Lists":
        """Both, the other's pairs behind each user's own."""
        pairs = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _FIELDS}
        order = np.argsort(pairs["users"], kind="stable")
        return Lists(**{name: values[order] for name, values in pairs.items()})

    def where(self, wanted: NDArray[np.bool_]) -> "Lists":
        """The pairs where `wanted` is true."""
        return Lists(**{name: getattr(self, name)[wanted] for name in _FIELDS})


_FIELDS = ("users", "items", "scores", "places", "explored")


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


def beyond(
    users: NDArray[np.int64], items: NDArray[np.int64], scores: NDArray[np.float64], most: int
) -> NDArray[np.bool_]:
    """Pairs with a score that is not among the `most` largest of their user; a pair without one never is."""
    scored = np.flatnonzero(~np.isnan(scores))
    order, _ = best(users[scored], items[scored], scores[scored], most)
    found = ~np.isnan(scores)
    found[scored[order]] = False
    return found


def explore(
    listed: Lists,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    scores: NDArray[np.float64],
    cold: Numbers,
    top: int,
    share: float,
) -> Lists:
    """Give the last places of each list, `share` of `top` rounded down, to cold items that are not on it.

    listed: at most `top` pairs a user. users, items, scores: the candidates. cold: what speaks for each
    candidate as a cold item, NaN where it is none; the largest are taken. Without cold candidates the list
    stays as it is.
    """
    reserved = int(top * share)
    if not reserved:
        return listed
    safe = listed.where(listed.ranks <= top - reserved)
    on_list = np.zeros(len(users), dtype=bool)
    on_list[safe.places] = True
    free = np.flatnonzero(~np.isnan(cold) & ~on_list)
    order, _ = best(users[free], items[free], cold[free], reserved)
    found = Lists.of(users, items, scores, free[order])
    count = np.bincount(found.users, minlength=int(users.max(initial=-1)) + 1)
    explored = np.zeros(len(users), dtype=bool)
    explored[found.places] = True
    # Those that were on the list's end already leave it for their new place.
    others = listed.where(~explored[listed.places])
    kept = others.where(others.ranks <= top - count[others.users])
    return kept.then(replace(found, explored=np.ones(len(found.users), dtype=bool)))


def fill(listed: Lists, seen: csr_matrix, popular: Trending, top: int) -> Lists:
    """What the lists lack to `top`: the first of `popular` that the user has not seen and that are not on it.

    seen: shape (users, items), also says which users there are. Scores go on below each user's lowest in
    steps of 1, so that they order the list and claim nothing else.
    """
    users = seen.shape[0]
    counts = np.bincount(listed.users, minlength=users)
    short = np.flatnonzero(counts < top)
    found = popular.recommend(short.astype(np.int32), top, _taken(seen, short, listed))
    rows, places = np.nonzero(found.items >= 0)
    needed = places < (top - counts[short])[rows]
    rows, places = rows[needed], places[needed]
    lowest = np.zeros(users)
    lowest[listed.users] = np.inf
    np.minimum.at(lowest, listed.users, listed.scores)
    of_user = short[rows].astype(np.int64)
    none = np.full(len(rows), -1, dtype=np.int64)
    items = found.items[rows, places].astype(np.int64)
    return Lists(of_user, items, lowest[of_user] - 1 - places, none, none > 0)


def _taken(seen: csr_matrix, users: NDArray[np.intp], listed: Lists) -> csr_matrix:
    """Items each of `users` has seen or has on the list already: shape (len(users), items)."""
    row_of = np.full(seen.shape[0], -1)
    row_of[users] = np.arange(len(users))
    rows = row_of[listed.users]
    inside = rows >= 0
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    shape = (len(users), seen.shape[1])
    return csr_matrix(seen[users] + csr_matrix((ones, (rows[inside], listed.items[inside])), shape=shape))
