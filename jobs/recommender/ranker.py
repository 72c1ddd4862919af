"""The ranker: LightGBM lambdarank over groups of candidates, one group a query.

Boosting starts from the order recall gives (`recall_margin`) and learns what to change about it, and features
whose direction is known may only work in that direction. So a ranker of few queries stays near recall.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_store.errors import NightmillError
from feature_store.sections import Ranker
from feature_store.tables import CHANNEL_COLUMNS, CHANNELS, ITEM_FEATURES, PAIR_FEATURES, USER_FEATURES
from jobs.recommender.fusion import K
from jobs.recommender.threads import cores

if TYPE_CHECKING:
    from lightgbm import Booster

# A better place in a channel, more similarity, a price nearer to the usual, more recent demand: none of them
# may ever lower a score.
DIRECTIONS = {
    **{f"{channel}_rank": -1 for channel in CHANNELS},
    **{f"{channel}_score": 1 for channel in CHANNELS},
    **{column.name: 1 for column in PAIR_FEATURES},
    "pair_price_distance_90d": -1,
    "item_events_count_7d": 1,
    "item_events_count_30d": 1,
    "item_users_count_30d": 1,
}
FEATURES = tuple(c.name for c in (*CHANNEL_COLUMNS, *ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES))
# Share of the queries, the newest days, that say when to stop.
VALIDATION_SHARE = 0.2
# Rounds without a validation set: enough to order, too few to learn the noise of a small set by heart.
BLIND_ROUNDS = 50
_PATIENCE = 25


@dataclass(frozen=True)
class Queries:
    """A training set sorted by query.

    values: shape (rows, features). margins, labels: shape (rows,). sizes: rows of each query. days: of each
    query, since 1970.
    """

    values: NDArray[np.float64]
    margins: NDArray[np.float64]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    days: NDArray[np.int64]

    def where(self, wanted: NDArray[np.bool_]) -> "Queries":
        """The queries where `wanted` (one entry a query) is true."""
        rows = np.repeat(wanted, self.sizes)
        return Queries(
            self.values[rows], self.margins[rows], self.labels[rows], self.sizes[wanted], self.days[wanted]
        )


@dataclass(frozen=True)
class Fitted:
    """A trained ranker; valid_ndcg_at_10 is None when there were too few queries to hold some back."""

    model_text: str
    importances: list[float]
    rounds: int
    valid_ndcg_at_10: float | None


def matrix(rows: pa.Table | pa.RecordBatch, features: tuple[str, ...]) -> NDArray[np.float64]:
    """Feature columns as floats, null as NaN: shape (rows, features)."""
    columns = [pc.cast(rows.column(name), pa.float64()) for name in features]
    return np.column_stack([column.to_numpy(zero_copy_only=False) for column in columns])


def recall_margin(rows: pa.Table) -> NDArray[np.float64]:
    """The merged recall score from the channels' ranks, 1 for a place right at the top: shape (rows,)."""
    ranks = matrix(rows, tuple(f"{channel}_rank" for channel in CHANNELS))
    return np.nansum(K / (K + ranks), axis=1)


def queries(rows: pa.Table) -> Queries:
    """Sort a training set by (user_id, query_time, item_id); queries with one kind of label are left out."""
    rows = rows.sort_by([(name, "ascending") for name in ("user_id", "query_time", "item_id")])
    users = rows["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    moments = rows["query_time"].cast(pa.int64()).to_numpy()
    first = np.ones(rows.num_rows, dtype=bool)
    first[1:] = (users[1:] != users[:-1]) | (moments[1:] != moments[:-1])
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, rows.num_rows))
    labels = rows["label"].to_numpy()
    days = rows["query_time"].cast(pa.date32()).cast(pa.int32()).to_numpy()[starts].astype(np.int64)
    found = Queries(matrix(rows, FEATURES), recall_margin(rows), labels, sizes, days)
    positives = np.add.reduceat(labels, starts) if len(starts) else sizes
    return found.where((positives > 0) & (positives < sizes))


def fit(found: Queries, settings: Ranker) -> Fitted:
    """Train with early stopping on the newest days, then again on all days for as many rounds.

    With too few queries on either side (ranker.min_groups) nothing is held back and BLIND_ROUNDS are boosted.
    """
    rounds, ndcg = min(settings.rounds, BLIND_ROUNDS), None
    newest = _newest(found.days)
    if min(newest.sum(), (~newest).sum()) >= settings.min_groups:
        trial = _boost(found.where(~newest), settings, settings.rounds, found.where(newest))
        rounds = trial.best_iteration
        ndcg = float(trial.best_score["newest"]["ndcg@10"])
    booster = _boost(found, settings, rounds, None)
    gains = booster.feature_importance(importance_type="gain")
    return Fitted(booster.model_to_string(), [float(gain) for gain in gains], rounds, ndcg)


def _newest(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Queries of the newest whole days that together hold at least VALIDATION_SHARE of them."""
    if not len(days):
        return np.zeros(0, dtype=bool)
    ordered = np.sort(days)
    return days >= ordered[int(len(days) * (1 - VALIDATION_SHARE))]


def _boost(train: Queries, settings: Ranker, rounds: int, newest: Queries | None) -> "Booster":
    import lightgbm

    def dataset(part: Queries, reference: Any = None) -> Any:
        return lightgbm.Dataset(
            part.values,
            part.labels,
            group=part.sizes,
            init_score=part.margins,
            feature_name=list(FEATURES),
            reference=reference,
            params={"verbosity": -1},
            free_raw_data=False,
        )

    learnt = dataset(train)
    callbacks = [] if newest is None else [lightgbm.early_stopping(_PATIENCE, verbose=False)]
    return lightgbm.train(
        _parameters(settings),
        learnt,
        num_boost_round=rounds,
        valid_sets=[] if newest is None else [dataset(newest, learnt)],
        valid_names=[] if newest is None else ["newest"],
        callbacks=callbacks,
    )


def _parameters(settings: Ranker) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "monotone_constraints": [DIRECTIONS.get(name, 0) for name in FEATURES],
        "num_leaves": settings.num_leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": cores(),
        "verbosity": -1,
    }


class Scorer:
    """A stored ranker, ready to score."""

    def __init__(self, model_text: str, features: list[str], name: str) -> None:
        """name: what to call the ranker in an error."""
        import lightgbm

        try:
            self._booster = lightgbm.Booster(model_str=model_text)
        except lightgbm.basic.LightGBMError as error:
            raise NightmillError(f"{name} cannot be loaded ({str(error).splitlines()[0]})") from None
        self.features, self.name = tuple(features), name

    def require(self, published: list[str]) -> None:
        """NightmillError naming the features the ranker needs and the night no longer publishes."""
        if absent := [name for name in self.features if name not in published]:
            raise NightmillError(
                f"{self.name} was trained with features that are not published any more "
                f"({', '.join(absent)}): run `nightmill train_ranker` again"
            )

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        """Scores of rows that have the ranker's features and the channels' ranks: shape (rows,)."""
        if not rows.num_rows:
            return np.empty(0)
        learnt = self._booster.predict(matrix(rows, self.features), num_threads=cores())
        return recall_margin(rows) + np.asarray(learnt, dtype=np.float64)
