"""Reciprocal rank fusion: many channels' proposals become one ranked list of candidates a user."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.tables import CHANNELS
from jobs.recommender.history import Codes
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend

# Flattens the difference between first places; the value of the source's experiments.
K = 60
# Scores as whole numbers up to this.
_SCORE_BITS = 34
_SCALE = 1 << _SCORE_BITS - 1


@dataclass(frozen=True)
class Merged:
    """Candidates sorted by user and rank; every array has one entry a candidate.

    users: places in the block. channel_ranks and channel_scores: 0 and NaN where the channel did not propose.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]
    channel_ranks: dict[str, NDArray[np.int64]]
    channel_scores: dict[str, NDArray[np.float64]]


def merge(
    proposals: Mapping[str, Proposals], catalogue_size: int, limit: int, blend: Blend | None = None
) -> Merged:
    """Keep each user's `limit` candidates, ordered by the sum over channels of weight * 60 / (60 + rank).

    The first proposals of each channel, as many as its quota, are kept for sure; the places that are left
    because channels agree, or have less to propose, go to the best of the rest. Without a blend there are no
    quotas and every weight is 1. Ties go to the smaller item code.
    Source: Cormack, Clarke and Büttcher, 2009; 60 times
    their score, so that the first of a channel has about 1.
    """
    flat = {name: _flatten(found, catalogue_size) for name, found in proposals.items()}
    keys, at_key = _distinct(np.concatenate([key for key, _, _ in flat.values()]))
    ends = np.cumsum([len(key) for key, _, _ in flat.values()])
    ranks, scores = {}, {}
    total, reserved = np.zeros(len(keys)), np.zeros(len(keys), dtype=bool)
    for (name, (key, rank, score)), end in zip(flat.items(), ends, strict=True):
        at = at_key[end - len(key) : end]
        ranks[name] = np.zeros(len(keys), dtype=np.int64)
        scores[name] = np.full(len(keys), np.nan)
        ranks[name][at], scores[name][at] = rank, score
        total[at] += (blend.weights[name] if blend else 1.0) * K / (K + rank)
        reserved[at] |= rank <= (blend.quotas[name] if blend else 0)
    users, items = np.divmod(keys, max(catalogue_size, 1))
    total = total.round(9)
    order, places = _kept(users, total, reserved, limit)
    return Merged(
        users=users[order],
        items=items[order],
        scores=total[order],
        ranks=places,
        channel_ranks={name: values[order] for name, values in ranks.items()},
        channel_scores={name: values[order] for name, values in scores.items()},
    )


def _distinct(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct keys in order, and the place of each key among them, as np.unique has it.

    Each key carries its place through the sort, which is eight times faster than sorting places by keys.
    """
    bits = len(keys).bit_length()
    packed = np.sort((keys << bits) + np.arange(len(keys)))
    ordered, order = packed >> bits, packed & ((1 << bits) - 1)
    first = np.ones(len(keys), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    at = np.empty(len(keys), dtype=np.int64)
    at[order] = np.cumsum(first) - 1
    return ordered[first], at


def _kept(
    users: NDArray[np.int64], scores: NDArray[np.float64], reserved: NDArray[np.bool_], limit: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Places of each user's candidates in order of score, and their ranks; reserved ones are kept first.

    Pairs come in order of user and item, so that a stable sort settles ties by item.
    """
    below = _SCALE - np.round(scores * (_SCALE / scores.max(initial=1.0))).astype(np.int64)
    # One integer a pair: sorting those is several times faster than sorting by columns.
    packed = (users << _SCORE_BITS + 1) + below
    kept = np.argsort(packed + (~reserved).astype(np.int64) * (_SCALE << 1), kind="stable")
    kept = np.sort(kept[_places(users[kept]) < limit])
    order = kept[np.argsort(packed[kept], kind="stable")]
    return order, _places(users[order]) + 1


def _places(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many entries of the same user come before each; users are in order."""
    return np.arange(len(users)) - np.searchsorted(users, users)


def _flatten(
    found: Proposals, catalogue_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Keys (user * catalogue + item), ranks and scores of what was proposed."""
    users, places = np.nonzero(found.items >= 0)
    keys = users.astype(np.int64) * catalogue_size + found.items[users, places]
    return keys, places.astype(np.int64) + 1, found.scores[users, places]


def as_rows(merged: Merged, users: Codes, user_ids: pa.Array, item_ids: pa.Array) -> pa.Table:
    """The candidates with ids, in the columns of the table's contract; `users` are the codes of the block."""
    columns = {
        "user_id": user_ids.take(pa.array(users[merged.users])),
        "item_id": item_ids.take(pa.array(merged.items)),
        "score": pa.array(merged.scores),
        "rank": pa.array(merged.ranks),
        "channels": _names(merged),
    }
    for name in CHANNELS:
        absent = merged.channel_ranks[name] == 0
        columns[f"{name}_rank"] = pa.array(merged.channel_ranks[name], mask=absent)
        columns[f"{name}_score"] = pa.array(merged.channel_scores[name], mask=absent)
    return pa.table(columns)


def _names(merged: Merged) -> pa.ListArray:
    proposed = np.stack([merged.channel_ranks[name] > 0 for name in CHANNELS], axis=1)
    offsets = np.concatenate([[0], np.cumsum(proposed.sum(axis=1))]).astype(np.int32)
    values = pa.array(CHANNELS).take(pa.array(np.nonzero(proposed)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def empty() -> pa.Table:
    """No candidates, in the columns of `as_rows`."""
    nothing = {name: Proposals.nothing(0) for name in CHANNELS}
    none = pa.array([], pa.string())
    return as_rows(merge(nothing, 0, 1), np.empty(0, dtype=np.int32), none, none)
