"""Peers of `nightmill bench quality`: one simple model each, over the events before the split.

A side reads before.parquet and users.parquet of a folder and writes NAME.parquet: user_id, item_id, rank. Of
a few settings the one is taken that does best on the last horizon before the split, as a careful team would.
Confidences are those our own ALS is given: 1 + log2(1 + weight over the mean weight). Items a user has an
event on are never recommended; of equal scores the smaller item id comes first.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from infra.benchmarks.processes import result
from jobs.recommender import metrics
from jobs.recommender.threads import one_blas_thread

TOP = 10
BLOCK = 1024  # users scored together
SEED = 0
_DAY = 86_400_000_000  # microseconds
Codes = NDArray[np.int64]
# Scores of some users for every item: codes, shape (n,) -> shape (n, items).
Scorer = Callable[[Codes], Any]


@dataclass(frozen=True)
class Events:
    """Events by codes that sort as ids do; ages in days before `now`, judged: codes of users."""

    shape: tuple[int, int]
    users: Codes
    items: Codes
    ages: NDArray[np.float64]
    weights: NDArray[np.float64]
    judged: Codes

    def confidences(self) -> csr_matrix:
        """Shape (users, items)."""
        weights = np.maximum(self.weights, 0)
        relative = weights / weights.mean() if weights.any() else weights
        found = csr_matrix((relative, (self.users, self.items)), shape=self.shape)
        found.sum_duplicates()
        found.data = (1 + np.log2(1 + found.data)).astype(np.float32)
        return found

    def seen(self) -> csr_matrix:
        """Items each user has an event on: shape (users, items)."""
        return csr_matrix((np.ones(len(self.users)), (self.users, self.items)), shape=self.shape)

    def before(self, days: int) -> "Events":
        """The events that are older, with ages as of then."""
        old = self.ages > days
        return replace(
            self,
            users=self.users[old],
            items=self.items[old],
            ages=self.ages[old] - days,
            weights=self.weights[old],
        )


def als(events: Events, factors: int, regularization: float) -> Scorer:
    """implicit's ALS alone."""
    from implicit.cpu.als import AlternatingLeastSquares

    with one_blas_thread():
        model = AlternatingLeastSquares(factors=factors, regularization=regularization, random_state=SEED)
        model.fit(events.confidences(), show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def item_knn(events: Events, kind: str, neighbours: int) -> Scorer:
    """implicit's item-to-item neighbours."""
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
    from implicit.utils import ParameterWarning

    model = {"bm25": BM25Recommender, "cosine": CosineRecommender}[kind](K=neighbours)
    matrix = events.confidences()
    with warnings.catch_warnings():
        # It converts its own matrix and warns that it did.
        warnings.simplefilter("ignore", ParameterWarning)
        model.fit(matrix, show_progress=False)
    return lambda users: (matrix[users] @ model.similarity).toarray()


def popularity(events: Events, half_life_days: float) -> Scorer:
    """Events of each item, each halved every half-life."""
    decayed = np.zeros(events.shape[1])
    np.add.at(decayed, events.items, np.exp2(-events.ages / half_life_days))
    return lambda users: np.tile(decayed, (len(users), 1))


SIDES: dict[str, tuple[Callable[..., Scorer], dict[str, tuple[Any, ...]]]] = {
    "als": (als, {"factors": (32, 64, 128), "regularization": (0.01, 0.1)}),
    "item_knn": (item_knn, {"kind": ("bm25", "cosine"), "neighbours": (20, 100)}),
    "popularity": (popularity, {"half_life_days": (3.5, 7.0, 14.0, 30.0, 90.0, 365.0)}),
}


def variants(task: str) -> list[dict[str, Any]]:
    """Every setting of a peer that is tried."""
    grid = SIDES[task][1]
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def tuned(task: str, events: Events, days: int) -> dict[str, Any]:
    """The setting with the best NDCG on the last `days` before the split; the first of equals."""
    fit, early = SIDES[task][0], events.before(days)
    seen = early.seen()
    recent = events.ages <= days
    users, items = events.users[recent], events.items[recent]
    new = np.asarray(seen[users, items]).ravel() == 0
    known = np.diff(seen.indptr)[users] > 0
    wanted: dict[int, set[Any]] = {}
    for user, item in zip(users[new & known].tolist(), items[new & known].tolist(), strict=True):
        wanted.setdefault(user, set()).add(item)
    early = replace(early, judged=np.array(sorted(wanted), dtype=np.int64))

    def quality(variant: dict[str, Any]) -> float:
        found: dict[int, list[Any]] = {user: [] for user in early.judged.tolist()}
        for user, item, _ in zip(*lists(early, fit(early, **variant)), strict=True):
            found[int(user)].append(int(item))
        relevant = [wanted[user] for user in found]
        return round(float(metrics.ndcg_at_k(list(found.values()), relevant, TOP).mean()), 6)

    return max(variants(task), key=quality) if wanted else variants(task)[0]


def lists(events: Events, scorer: Scorer) -> tuple[Codes, Codes, Codes]:
    """Users, items and ranks of the TOP unseen items of each judged user, users in blocks."""
    seen, found = events.seen(), []
    for start in range(0, len(events.judged), BLOCK):
        users = events.judged[start : start + BLOCK]
        # Rounded, so that the last bits of a sum decide nothing.
        scores = np.round(np.asarray(scorer(users), dtype=np.float64), 6)
        scores[seen[users].nonzero()] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        rows, places = np.nonzero(np.isfinite(np.take_along_axis(scores, order, axis=1)))
        found.append((users[rows], order[rows, places], places + 1))
    users, items, ranks = (np.concatenate(column) for column in zip(*found, strict=True))
    return users, items, ranks


def run(task: str, folder: Path, days: int) -> dict[str, Any]:
    """Choose a setting, fit on everything, write the lists; seconds of it all and the setting."""
    rows = pq.read_table(folder / "before.parquet")
    user_ids, item_ids = (_sorted(rows[name]) for name in ("user_id", "item_id"))
    times = rows["event_time"].cast(pa.int64()).to_numpy()
    events = Events(
        (len(user_ids), len(item_ids)),
        _codes(rows["user_id"], user_ids),
        _codes(rows["item_id"], item_ids),
        ((times.max() // _DAY + 1) * _DAY - times) / _DAY,
        rows["weight"].to_numpy(),
        _codes(pq.read_table(folder / "users.parquet")["user_id"], user_ids),
    )
    began = time.monotonic()
    setting = tuned(task, events, days)
    users, items, ranks = lists(events, SIDES[task][0](events, **setting))
    ids = {"user_id": user_ids.take(pa.array(users)), "item_id": item_ids.take(pa.array(items))}
    pq.write_table(pa.table(ids | {"rank": ranks}), folder / f"{task}.parquet")
    return {"seconds": time.monotonic() - began, "setting": setting}


def _sorted(column: pa.ChunkedArray) -> pa.Array:
    ids = pc.unique(column)
    return ids.take(pc.sort_indices(ids))


def _codes(column: pa.ChunkedArray, ids: pa.Array) -> Codes:
    return np.asarray(pc.index_in(column, value_set=ids).to_numpy(), dtype=np.int64)


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run(sys.argv[1], Path(config["folder"]), config["days"]))
