"""Features of pairs of a user and an item over arrays: what transforms/pair_features.sql says, without Spark.

Rows are in order of their user. Nothing known is NaN.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.recommender.history import Floats

Numbers = NDArray[np.float64]
# Cells of a table of users and words that are held at once.
_CELLS = 4_000_000
# Similarities whose mean speaks for the user's taste.
_LARGEST = 3


@dataclass(frozen=True)
class Ragged:
    """Lists of codes, one behind the other: list i is codes[starts[i]:starts[i + 1]]."""

    starts: NDArray[np.int64]
    codes: NDArray[np.int64]

    def of(self, which: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every code of the lists `which`, and the place in `which` of its list."""
        counts = self.starts[which + 1] - self.starts[which]
        rows = np.repeat(np.arange(len(which)), counts)
        before = np.cumsum(counts) - counts
        return rows, self.codes[np.arange(len(rows)) + np.repeat(self.starts[which] - before, counts)]


def flat(lists: pa.Array, vocabulary: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and the code of every entry of `lists`, -1 where the vocabulary lacks it; null is no entry."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    found = pc.fill_null(pc.index_in(pc.list_flatten(lists), value_set=vocabulary), -1)
    return np.repeat(np.arange(len(lengths)), lengths), found.to_numpy(zero_copy_only=False).astype(np.int64)


def sets(lists: pa.Array, vocabulary: pa.Array) -> Ragged:
    """The distinct known entries of each list."""
    rows, found = flat(lists, vocabulary)
    keys = np.unique((rows * np.int64(len(vocabulary)) + found)[found >= 0])
    rows, found = np.divmod(keys, max(len(vocabulary), 1))
    return Ragged(np.searchsorted(rows, np.arange(len(lists) + 1)), found)


def sums(
    words: tuple[NDArray[np.int64], NDArray[np.int64]],
    weights: Numbers | None,
    items: Ragged,
    size: int,
    of_user: NDArray[np.intp],
    of_item: NDArray[np.int64],
) -> Numbers:
    """For each row the weights of the user's words that are among the item's; without weights their number.

    words: user and code (below `size`) of each word, in order of the user. of_user, of_item: of each row.
    """
    result = np.zeros(len(of_user))
    users = int(of_user[-1]) + 1 if len(of_user) else 0
    step = max(1, _CELLS // max(size, 1))
    for first in range(0, users, step):
        user, code = (part[slice(*np.searchsorted(words[0], [first, first + step]))] for part in words)
        table = np.zeros((min(step, users - first), size))
        known = code >= 0
        if weights is None:
            table[user[known] - first, code[known]] = 1
        else:
            of_words = weights[slice(*np.searchsorted(words[0], [first, first + step]))]
            np.add.at(table, (user[known] - first, code[known]), of_words[known])
        here = slice(*np.searchsorted(of_user, [first, first + step]))
        rows, codes = items.of(of_item[here])
        values = table[of_user[here][rows] - first, codes]
        result[here] = np.bincount(rows, values, minlength=here.stop - here.start)
    return result


def cosines(
    items: Floats,
    known: NDArray[np.bool_],
    users: Floats,
    recent: list[NDArray[np.int64]],
    starts: NDArray[np.int64],
    of_item: NDArray[np.int64],
) -> tuple[Numbers, Numbers, Numbers]:
    """Cosine of each row's item with its user and the last item, mean of the three largest with recent items.

    items, users: vectors of length one (NaN: not known). recent: known items of each user, newest first.
    starts: the first row of each user, and the end.
    """
    own, last, largest = (np.full(len(of_item), np.nan) for _ in range(3))
    for user, (start, end) in enumerate(pairwise(starts.tolist())):
        vectors = items[of_item[start:end]]
        against = np.vstack([users[user : user + 1], items[recent[user]]])
        found = (vectors @ against.T).astype(np.float64)
        own[start:end] = found[:, 0]
        if len(recent[user]):
            last[start:end] = found[:, 1]
            places = min(_LARGEST, len(recent[user]))
            largest[start:end] = np.sort(found[:, 1:], axis=1)[:, -places:].sum(axis=1) / places
    unknown = ~known[of_item]
    for values in (own, last, largest):
        values[unknown] = np.nan
    return own, last, largest
