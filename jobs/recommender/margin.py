"""The margin a ranker starts from: a weighted sum of how high each channel placed a candidate."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.recommender.fusion import K
from jobs.recommender.queries import Queries, matrix

# Prior queries that say all channels weigh the same: few real ones hardly move the weights away from that.
_PRIOR = 10.0


def score(rows: pa.Table | pa.RecordBatch, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """Sum over channels of weight * 60 / (60 + rank), 0 where a channel did not propose: shape (rows,)."""
    return _places(rows, tuple(weights)) @ np.array(list(weights.values()), dtype=float)


def fit(learnt: Queries, channels: tuple[str, ...]) -> dict[str, float]:
    """The weights, none below 0, under which what was taken is most likely: softmax over each list's rows.

    Source: Cao and others, 2007 (ListNet).
    """
    from scipy.optimize import minimize

    start = np.ones(len(channels))
    if not channels or not len(learnt.sizes):
        return dict.fromkeys(channels, 1.0)
    places, labels = _places(learnt.rows, channels), learnt.labels
    query = np.repeat(np.arange(len(learnt.sizes)), learnt.sizes)
    wanted = labels / np.bincount(query, labels)[query]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = places @ weights
        highest = np.maximum.reduceat(scores, learnt.starts)
        powers = np.exp(scores - highest[query])
        shares = powers / np.bincount(query, powers)[query]
        off = weights - weights.mean()
        value = -(wanted * np.log(np.maximum(shares, 1e-300))).sum() + _PRIOR * (off @ off) / 2
        return value, places.T @ (shares - wanted) + _PRIOR * off

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(channels))
    # The last digits depend on how sums are laid out.
    return {channel: float(weight) for channel, weight in zip(channels, found.x.round(4), strict=True)}


def _places(rows: pa.Table | pa.RecordBatch, channels: tuple[str, ...]) -> NDArray[np.float64]:
    ranks = matrix(rows, tuple(f"{channel}_rank" for channel in channels))
    return np.nan_to_num(K / (K + ranks), nan=0.0)
