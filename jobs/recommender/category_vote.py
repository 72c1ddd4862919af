"""Which categories the items near a text stand in: a vote among its neighbours, weighted by likeness."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.recommender.history import Floats

NEIGHBOURS = 20
# Vectors of so many texts are compared with all voters at once: what that takes stays small.
_BLOCK = 64
# Likenesses and shares are equal when so many digits are, however a matrix product was added up.
_DIGITS = 5


@dataclass(frozen=True)
class Vote:
    """Categories, best first, with the share of the neighbours' votes each has."""

    categories: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Voters:
    """Items whose categories are known: ids in order, vectors of shape (items, d), the categories of each.

    names: the categories that may be proposed, those of most items first; others have no vote.
    """

    ids: Sequence[str]
    matrix: Floats
    categories: Sequence[Sequence[str]]
    names: Sequence[str]

    def vote(self, ids: Sequence[str], matrix: Floats) -> list[Vote]:
        """The vote on texts with these vectors, of shape (texts, d) and length one.

        An item has no vote on itself. A category without votes comes after those with some, in the order of
        `names`, with share 0; a text that is like no voter gets no votes at all.
        """
        place = {item: row for row, item in enumerate(self.ids)}
        votes: list[Vote] = []
        for start in range(0, len(ids), _BLOCK):
            likeness = np.round(matrix[start : start + _BLOCK] @ self.matrix.T, _DIGITS)
            for item, row in zip(ids[start : start + _BLOCK], likeness, strict=True):
                if item in place:
                    row[place[item]] = 0.0
                votes.append(self._count(row))
        return votes

    def _count(self, likeness: Floats) -> Vote:
        shares = dict.fromkeys(self.names, 0.0)
        near = nearest(likeness, NEIGHBOURS)
        total = float(likeness[near].sum())
        for row in near:
            for category in set(self.categories[row]) & shares.keys():
                shares[category] += float(likeness[row]) / total
        shares = {name: round(share, _DIGITS) for name, share in shares.items()}
        ranked = sorted(shares, key=lambda name: -shares[name])  # stable: then as `names`
        return Vote(tuple(ranked), tuple(shares[name] for name in ranked))


def nearest(likeness: Floats, count: int) -> list[int]:
    """The rows of the largest positive values, largest first, the earlier row where they are equal."""
    if len(likeness) > count:
        edge = np.partition(likeness, -count)[-count]
        rows = np.flatnonzero((likeness >= edge) & (likeness > 0))
    else:
        rows = np.flatnonzero(likeness > 0)
    return [int(row) for row in rows[np.argsort(-likeness[rows], kind="stable")][:count]]
