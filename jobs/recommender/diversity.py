"""Lists that repeat themselves less: maximal marginal relevance, and a cap on items of one category.

One dial from 0 to 1 drives both. A place goes to the item with the largest

    (1 - dial) * relevance - dial * largest similarity to an item already on the list

(Carbonell and Goldstein, 1998), relevance being the score scaled to 0..1 within the user's pool. At most
top ** (1 - dial) items, rounded up, share their most specific category while others are left.
"""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from jobs.recommender.history import Floats
from jobs.recommender.pair_features import Numbers, flat, sets
from jobs.recommender.vectors import Vectors

# How many times the list's length is looked at: what lies deeper is too weak to be worth its difference.
POOL = 4
# Users whose similarities are in memory at once.
_USERS = 256
# Differences below this are noise of the last bits, and a tie.
_DECIMALS = 6


@dataclass(frozen=True)
class Alike:
    """How alike items are, by text vectors, or by their categories where no item has a vector.

    vectors: rows of length one or zero, shape (items, d). categories: the most specific category of each
    item, -1 for none.
    """

    vectors: Floats | csr_matrix
    categories: NDArray[np.int64]

    @classmethod
    def of(cls, categories: pa.Array, vectors: Vectors) -> "Alike":
        """categories: a list for each item, most general first."""
        vocabulary = pc.unique(pc.list_flatten(categories))
        rows, found = flat(categories, vocabulary)
        last = np.full(len(categories), -1, dtype=np.int64)
        last[rows] = found
        if vectors.known.any():
            return cls(vectors.matrix, last)
        words = sets(categories, vocabulary)
        ones = np.ones(len(words.codes), dtype=np.float32)
        shape = (len(categories), len(vocabulary))
        matrix = csr_matrix((ones, words.codes, words.starts), shape=shape)
        lengths = np.sqrt(np.maximum(np.diff(words.starts), 1))
        return cls((diags(1 / lengths) @ matrix).tocsr(), last)

    def within(self, items: NDArray[np.int64]) -> Numbers:
        """Cosine of each item with each other, those below 0 as 0: shape (n, n)."""
        rows = self.vectors[items]
        found = rows @ rows.T
        dense = found.toarray() if isinstance(found, csr_matrix) else found
        return np.clip(dense.astype(np.float64), 0, 1).round(_DECIMALS)


def rerank(
    items: NDArray[np.int64], scores: Numbers, alike: Alike, top: int, dial: float
) -> NDArray[np.int64]:
    """Places of the pool in each user's new order: shape (users, min(top, pool)), -1 behind the last.

    items, scores: shape (users, pool), best first; -1 behind the last.
    """
    blocks = [slice(start, start + _USERS) for start in range(0, len(items), _USERS)]
    found = [_rerank(items[block], scores[block], alike, top, dial) for block in blocks]
    return np.concatenate(found) if found else np.empty((0, 0), dtype=np.int64)


def _rerank(
    items: NDArray[np.int64], scores: Numbers, alike: Alike, top: int, dial: float
) -> NDArray[np.int64]:
    users, pool = items.shape
    similar = np.zeros((users, pool, pool))
    for user in range(users):
        count = int((items[user] >= 0).sum())
        similar[user, :count, :count] = alike.within(items[user, :count])
    relevance = (1 - dial) * _scaled(np.where(items >= 0, scores, np.nan))
    left = np.asarray(items >= 0)
    largest = np.zeros((users, pool))
    categories = np.where(left, alike.categories[items], -1)
    cap, taken = math.ceil(top ** (1 - dial)), np.zeros((users, pool), dtype=np.int64)
    order = np.full((users, min(top, pool)), -1, dtype=np.int64)
    everyone = np.arange(users)
    for place in range(order.shape[1]):
        value = (relevance - dial * largest).round(_DECIMALS)
        # A full category waits behind all others, and is not left out: a list never gets shorter.
        value -= 10.0 * (taken >= cap)
        value[~left] = -np.inf
        chosen = value.argmax(axis=1)
        any_left = left.any(axis=1)
        order[any_left, place] = chosen[any_left]
        left[everyone, chosen] = False
        largest = np.maximum(largest, similar[everyone, chosen])
        same = np.equal(categories, categories[everyone, chosen, None]) & (categories >= 0)
        taken += same & any_left.reshape(-1, 1)
    return order


def _scaled(scores: Numbers) -> Numbers:
    """Scores from 0 to 1 within each row; 1 where they are all the same, 0 where there is none."""
    if not scores.size:
        return scores
    best = np.nanmax(np.where(np.isnan(scores), -np.inf, scores), axis=1, keepdims=True)
    worst = np.nanmin(np.where(np.isnan(scores), np.inf, scores), axis=1, keepdims=True)
    spread = best - worst
    with np.errstate(invalid="ignore"):
        scaled = np.where(spread > 0, (scores - worst) / np.where(spread > 0, spread, 1), 1.0)
    return np.nan_to_num(scaled)
