"""Recall for items hardly anybody has touched: by what is known of them, as it was learnt on items like them.

See `mixture` for the score. It is turned into the probability that, if the user takes one of the cold items,
it is this one, so that scores of different users can be compared.

As an item gets events, who took it becomes a part of whom it is for, and its score counts less beside other
channels, which begin to know it: half where events say as much as all that is known of it. A synthetic
interaction says whom it is for as a small part of an event, and does not make an item any less cold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, hstack

from feature_store.errors import NightmillError
from jobs.recommender import item_words
from jobs.recommender.alignment import users_of
from jobs.recommender.history import Codes, Floats, History, codes
from jobs.recommender.item_words import ItemWords
from jobs.recommender.mixture import FLOOR, Mixture
from jobs.recommender.proposals import Proposals
from jobs.recommender.vectors import Vectors

# Items of the history that each cold item is compared with: its nearest. Scores and cosines held at once.
_NEAREST, _ENTRIES = 512, 8_000_000
_DECIMALS = 6


@dataclass(frozen=True)
class ColdTables:
    """What the channel is made of.

    items: item_words.ITEM_COLUMNS. item_profiles: item_words.PROFILE_COLUMNS. aligned_items: item_id, shown,
    wanted and model_id. alignment: the row of `alignments`. max_events: an item with no more is always cold.
    """

    items: pa.Table
    item_profiles: pa.Table
    aligned_items: pa.Table
    alignment: Mapping[str, Any]
    max_events: int


@dataclass(frozen=True)
class ColdStart:
    """Cold items and what speaks for them.

    items: codes of the cold items, in order. discounts: of each, the logarithm of what its score counts.
    taken: ones where a user took an item, shape (users, catalogue). shown, wanted: vectors of the towers,
    shape (catalogue, d).
    """

    items: Codes
    discounts: Floats
    taken: csr_matrix
    shown: Floats
    wanted: Floats
    words: ItemWords
    mixture: Mixture
    name: str = "cold_start"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n likeliest unseen cold items; none for a user who took nothing. Ties go by item."""
        n = min(n, len(self.items))
        if not n:
            return Proposals.nothing(len(users))
        size = max(1, _ENTRIES // len(self.items))
        blocks = [
            self._best(users[at : at + size], n, seen[at : at + size]) for at in range(0, len(users), size)
        ]
        return Proposals.joined(blocks, n)

    def _best(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        scores = self._scores(users, self.items, self._nearness).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        scores = (scores + self.discounts).round(_DECIMALS)
        nobody = np.diff(self.taken[users].indptr) == 0
        scores[nobody] = -np.inf
        scores[seen[:, self.items].nonzero()] = -np.inf
        return _largest(scores, self.items, n)

    def scores(self, users: Codes, items: Codes) -> Floats:
        """What speaks for each of these items, cold or not, without a discount: shape (users, items)."""
        return self._scores(users, items, _near(self.words, self.mixture, self._history, items))

    @cached_property
    def _history(self) -> Codes:
        """Items that anybody took."""
        return np.flatnonzero(np.bincount(self.taken.indices, minlength=self.taken.shape[1])).astype(np.int32)

    @cached_property
    def _nearness(self) -> csc_matrix:
        return _near(self.words, self.mixture, self._history, self.items)

    def _scores(self, users: Codes, items: Codes, nearness: csc_matrix) -> Floats:
        has = self.taken[users][:, self._history]
        far = users_of(has, self.shown[self._history]) @ self.wanted[items].T
        near = np.log((has @ nearness).toarray() + FLOOR)
        return np.asarray(self.mixture.far * far + self.mixture.near * near, dtype=np.float32)


def fit(history: History, vectors: Vectors, tables: ColdTables, imagined: csr_matrix) -> ColdStart:
    """The channel of a night.

    vectors: of the texts, in the catalogue's order. imagined: how much of an event the model's word makes up,
    shape (users, catalogue). NightmillError where the towers were learnt from vectors of another model.
    """
    if (learnt := tables.alignment["model_id"]) != vectors.model:
        raise NightmillError(
            f"aligned_items come from vectors of {learnt or 'no model'}, item_embeddings from "
            f"{vectors.model or 'no model'}: run `nightmill align_embeddings` again"
        )
    words = item_words.item_words(tables.items, tables.item_profiles, vectors, history.item_ids)
    counts = np.bincount(history.items, minlength=len(history.item_ids))
    equal = float(tables.alignment["equal_events"])
    items = np.flatnonzero(words.known & (counts <= max(equal, tables.max_events))).astype(np.int32)
    discounts = np.log(equal / (equal + counts[items])).astype(np.float32)
    shown, known = _vectors(tables.aligned_items, history.item_ids)
    wanted = _by_takers(history.liked, imagined, shown, known, items, equal)
    weights = dict(zip(tables.alignment["blocks"], tables.alignment["block_weights"], strict=True))
    mixture = Mixture(tables.alignment["far"], tables.alignment["near"], weights)
    return ColdStart(items, discounts, history.liked, shown, wanted, words, mixture)


def without(history: History) -> ColdStart:
    """The channel where nothing is aligned: it proposes nothing."""
    size, none = len(history.item_ids), np.empty(0, dtype=np.int32)
    nothing = csr_matrix((size, 0), dtype=np.float32)
    empty = np.zeros((size, 0), dtype=np.float32)
    words = ItemWords(empty, nothing, nothing, nothing)
    return ColdStart(none, empty[0], history.taken, empty, empty, words, Mixture.default())


def _by_takers(
    taken: csr_matrix, imagined: csr_matrix, shown: Floats, wanted: Floats, items: Codes, equal: float
) -> Floats:
    """`wanted`, in which these items have moved towards the users who took them: n / (n + equal) of the way.

    Where to: the mean vector of these users, as long as vectors of items are.
    """
    taste = users_of(taken, shown)
    events = taken.T.tocsr()
    weights = (taken + imagined).T.tocsr()[items]
    folded, means = (_mean(takers, taste) for takers in (events, weights))
    touched = np.flatnonzero(folded.any(axis=1))
    if not len(touched):
        return wanted
    scale = _length(wanted[touched]) / max(_length(folded[touched]), 1e-9)
    amount = np.asarray(weights.sum(axis=1))
    part = amount / (amount + equal)
    moved = wanted.copy()
    moved[items] = (1 - part) * wanted[items] + part * scale * means
    return moved.astype(np.float32)


def _mean(takers: csr_matrix, taste: Floats) -> Floats:
    """The weighted mean vector of each item's takers, zeros without any. takers: shape (items, users)."""
    return np.asarray(takers @ taste / np.maximum(takers.sum(axis=1), 1e-9), dtype=np.float32)


def _length(vectors: Floats) -> float:
    return float(np.linalg.norm(vectors, axis=1).mean())


def _vectors(rows: pa.Table, ids: pa.Array) -> tuple[Floats, Floats]:
    """`shown` and `wanted` at the code of their item, zeros for an item without: shape (catalogue, d)."""
    at = codes(rows["item_id"], ids)
    found = []
    for name in ("shown", "wanted"):
        flat = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        width = len(flat) // max(len(rows), 1)
        matrix = np.zeros((len(ids), width), dtype=np.float32)
        matrix[at[at >= 0]] = flat.reshape(len(rows), width)[at >= 0]
        found.append(matrix)
    return found[0], found[1]


def _near(words: ItemWords, mixture: Mixture, history: Codes, items: Codes) -> csc_matrix:
    """The nearness of each item to the items of the history that are nearest to it: (history, items)."""
    kept, size = min(_NEAREST, len(history)), max(1, _ENTRIES // max(len(history), 1))
    found = []
    for start in range(0, len(items) if kept else 0, size):
        dense = mixture.nearness(words, history, items[start : start + size])
        least = np.partition(dense, len(history) - kept, axis=0)[len(history) - kept]
        found.append(csc_matrix(np.where(dense >= least, dense, 0)))
    return hstack(found, format="csc") if found else csc_matrix((len(history), len(items)), dtype=np.float32)


def _largest(scores: NDArray[np.float64], items: Codes, n: int) -> Proposals:
    """The n largest scores of each row, ties in item order; -inf is never among them."""
    last = np.partition(scores, scores.shape[1] - n, axis=1)[:, scores.shape[1] - n]
    rows, at = np.nonzero((scores >= last[:, None]) & np.isfinite(scores))
    order = np.lexsort((at, -scores[rows, at], rows))
    rows, at = rows[order], at[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, at, place = rows[place < n], at[place < n], place[place < n]
    found = Proposals(np.full((len(scores), n), -1, dtype=np.int32), np.full((len(scores), n), -np.inf))
    found.items[rows, place], found.scores[rows, place] = items[at], scores[rows, at]
    return found
