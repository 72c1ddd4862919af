"""Ranking metrics, one value a user.

Every metric takes lists that are already in order, so ties are settled before anything is measured. Gains are
binary; a repeated item counts once, at its first place. A user without a relevant item has no value: NaN.
A metric has two forms: over lists of ids (`ndcg_at_k`), and over `hits` (`ndcg`): which places are relevant,
shape (users, places), with `wanted`, how many relevant items each user has, shape (users,).
"""

from collections.abc import Sequence, Set, Sized

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# What says how far to trust a metric's mean stands beside it.
from jobs.recommender.intervals import Interval, PerUser, bootstrap, paired_bootstrap

__all__ = [
    "Interval",
    "PerUser",
    "bootstrap",
    "candidate_recall_at_n",
    "hit_rate",
    "hit_rate_at_k",
    "item_coverage",
    "mrr",
    "mrr_at_k",
    "ndcg",
    "ndcg_at_k",
    "paired_bootstrap",
    "precision",
    "precision_at_k",
    "recall",
    "recall_at_k",
]

Lists = Sequence[Sequence[str]]
Relevant = Sequence[Set[str]]
Hits = NDArray[np.bool_]
Wanted = NDArray[np.int64]


def ndcg(hits: Hits, wanted: Wanted, k: int) -> PerUser:
    """Normalised discounted cumulative gain of each user's first k items: shape (users,), 0 to 1.

    The ideal list holds min(k, relevant items) hits. Source: Järvelin and Kekäläinen, 2002.
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(wanted, k)]
    places = hits[:, :k]
    return _ratio(places @ discount[: places.shape[1]], ideal)


def recall(hits: Hits, wanted: Wanted, k: int) -> PerUser:
    """Share of each user's relevant items among the first k: shape (users,), 0 to 1."""
    return _ratio(hits[:, :k].sum(axis=1).astype(float), wanted)


def precision(hits: Hits, wanted: Wanted, k: int) -> PerUser:
    """Share of the first k places that are relevant, empty places counting as not: shape (users,), 0 to 1."""
    return np.where(wanted > 0, hits[:, :k].sum(axis=1) / k, np.nan)


def hit_rate(hits: Hits, wanted: Wanted, k: int) -> PerUser:
    """1 for each user with a relevant item among the first k, else 0: shape (users,)."""
    return np.where(wanted > 0, hits[:, :k].any(axis=1).astype(float), np.nan)


def mrr(hits: Hits, wanted: Wanted, k: int) -> PerUser:
    """1 / the place of the first relevant item, 0 where none is among the first k: shape (users,)."""
    places = hits[:, :k]
    if not places.shape[1]:
        return np.where(wanted > 0, 0.0, np.nan)
    found = places.any(axis=1) / (places.argmax(axis=1) + 1.0)
    return np.where(wanted > 0, found, np.nan)


def ndcg_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """`ndcg` over lists of ids."""
    return ndcg(_hits(recommended, relevant, k), _sizes(relevant), k)


def recall_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """`recall` over lists of ids."""
    return recall(_hits(recommended, relevant, k), _sizes(relevant), k)


def precision_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """`precision` over lists of ids."""
    return precision(_hits(recommended, relevant, k), _sizes(relevant), k)


def hit_rate_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """`hit_rate` over lists of ids."""
    return hit_rate(_hits(recommended, relevant, k), _sizes(relevant), k)


def mrr_at_k(recommended: Lists, relevant: Relevant, k: int) -> PerUser:
    """`mrr` over lists of ids."""
    return mrr(_hits(recommended, relevant, k), _sizes(relevant), k)


def candidate_recall_at_n(candidates: Lists, relevant: Relevant, n: int) -> PerUser:
    """Share of each user's relevant items among n candidates: shape (users,); no ranker gets beyond it."""
    return recall_at_k(candidates, relevant, n)


def item_coverage(recommended: Lists, catalogue_size: int, k: int) -> float:
    """Share of the catalogue that is among the first k items of at least one user, 0 to 1."""
    if not catalogue_size:
        return 0.0
    return len({item for items in recommended for item in items[:k]}) / catalogue_size


def _sizes(collections: Sequence[Sized]) -> Wanted:
    return np.fromiter((len(items) for items in collections), dtype=np.int64, count=len(collections))


def _ratio(gained: PerUser, possible: NDArray[np.float64] | NDArray[np.int64]) -> PerUser:
    return np.divide(gained, possible, out=np.full(len(gained), np.nan), where=possible > 0)


def _hits(recommended: Lists, relevant: Relevant, k: int) -> Hits:
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
