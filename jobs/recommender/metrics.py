"""Ranking metrics, one value a user, and the intervals that say how far to trust their mean.

Every metric takes lists that are already in order, so ties are settled before anything is measured. Gains are
binary; a repeated item counts once, at its first place. A user without a relevant item has no value: NaN.
"""

from collections.abc import Sequence, Set, Sized
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Lists = Sequence[Sequence[str]]
Relevant = Sequence[Set[str]]
PerUser = NDArray[np.float64]

# Random draws held in memory at once while resampling.
_DRAWS = 4_000_000


class Interval(NamedTuple):
    """A mean over users with the interval that resampling users gives it."""

    mean: float
    low: float
    high: float


def ndcg_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """Normalised discounted cumulative gain of each user's first k items: shape (users,), 0 to 1.

    The ideal list holds min(k, relevant items) hits. Source: Järvelin and Kekäläinen, 2002.
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(_sizes(relevant), k)]
    return _ratio(_hits(recommended, relevant, k) @ discount, ideal)


def recall_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """Share of each user's relevant items among the first k: shape (users,), 0 to 1."""
    return _ratio(_hits(recommended, relevant, k).sum(axis=1).astype(float), _sizes(relevant))


def hit_rate_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """1 for each user with a relevant item among the first k, else 0: shape (users,)."""
    found = _hits(recommended, relevant, k).any(axis=1).astype(float)
    return np.where(_sizes(relevant) > 0, found, np.nan)


def candidate_recall_at_n(candidates: Lists, relevant: Relevant, n: int) -> PerUser:
    """Share of each user's relevant items among n candidates: shape (users,); no ranker gets beyond it."""
    return recall_at_k(candidates, relevant, n)


def item_coverage(recommended: Lists, catalogue_size: int, k: int) -> float:
    """Share of the catalogue that is among the first k items of at least one user, 0 to 1."""
    if not catalogue_size:
        return 0.0
    return len({item for items in recommended for item in items[:k]}) / catalogue_size


def bootstrap(values: PerUser, seed: int = 0, resamples: int = 1000, level: float = 0.95) -> Interval:
    """Mean over users with its percentile bootstrap interval; users without a value (NaN) are left out.

    Without users all three are NaN; with one user the interval is that one value. Source: Efron, 1979.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    block = max(1, _DRAWS // len(values))
    means = np.empty(resamples)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        means[start : start + rows] = values[generator.integers(0, len(values), (rows, len(values)))].mean(
            axis=1
        )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    ours: PerUser, theirs: PerUser, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Mean of (ours - theirs) over the same users with its interval; the two differ when it excludes zero."""
    if len(ours) != len(theirs):
        raise ValueError(f"paired values must be of the same users, got {len(ours)} and {len(theirs)}")
    return bootstrap(np.asarray(ours) - np.asarray(theirs), seed, resamples, level)


def bootstrap_together(
    columns: Sequence[PerUser], seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> list[Interval]:
    """`bootstrap` of several measures of the same users, all from the same resamples of them.

    Every measure must have a value for every user. One draw serves all, so many measures cost little more
    than one, and a column may be a difference of two others.
    """
    values = np.column_stack(list(columns)) if columns else np.empty((0, 0))
    users = len(values)
    if np.isnan(values).any():
        raise ValueError("a user without a value cannot be resampled together with others")
    if not users:
        return [Interval(np.nan, np.nan, np.nan)] * len(columns)
    generator = np.random.default_rng(seed)
    block = max(1, _DRAWS // users)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, block):
        drawn = generator.integers(0, users, (min(block, resamples - start), users))
        times = np.stack([np.bincount(row, minlength=users) for row in drawn])
        means[start : start + len(drawn)] = times.astype(float) @ values / users
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0).T
    return [
        Interval(float(mean), float(low), float(high))
        for mean, (low, high) in zip(values.mean(axis=0), ends, strict=True)
    ]


def _sizes(collections: Sequence[Sized]) -> NDArray[np.int64]:
    return np.fromiter((len(items) for items in collections), dtype=np.int64, count=len(collections))


def _ratio(gained: PerUser, possible: NDArray[np.float64] | NDArray[np.int64]) -> PerUser:
    return np.divide(gained, possible, out=np.full(len(gained), np.nan), where=possible > 0)


def _hits(recommended: Lists, relevant: Relevant, k: int) -> NDArray[np.bool_]:
    """Where the first k of each list are relevant: shape (users, k)."""
    if len(recommended) != len(relevant):
        raise ValueError(f"one list and one set a user, got {len(recommended)} and {len(relevant)}")
    lengths = np.minimum(_sizes(recommended), k)
    listed = [item for items in recommended for item in items[:k]]
    wanted = [item for items in relevant for item in items]
    codes, names = pd.factorize(np.array(listed + wanted, dtype=object))
    users = np.arange(len(recommended))
    lister, wanter = np.repeat(users, lengths), np.repeat(users, _sizes(relevant))
    listed_pairs = lister * len(names) + codes[: len(listed)]
    wanted_pairs = wanter * len(names) + codes[len(listed) :]
    first = ~pd.Series(listed_pairs).duplicated().to_numpy()
    places = np.arange(len(listed)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    hits = np.zeros((len(recommended), k), dtype=bool)
    hits[lister, places] = first & np.isin(listed_pairs, wanted_pairs)
    return hits
