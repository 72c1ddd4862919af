"""The ranker: LightGBM lambdarank over lists of candidates, one list a query.

Boosting starts from a weighted sum of the channels' places (margin.py) and learns what to change about it,
and features whose direction is known may only work in that direction. So a ranker of few queries stays near
recall.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.errors import NightmillError
from feature_store.sections import Ranker
from feature_store.tables import CHANNELS, PAIR_FEATURES
from jobs.recommender import control, margin
from jobs.recommender.forest import Forest
from jobs.recommender.groups import channels_of
from jobs.recommender.queries import Queries, matrix
from jobs.recommender.shapley import Shapley
from jobs.recommender.synthetic_pairs import Imagined
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
    **dict.fromkeys(control.COLUMNS, 1),
}
# Rounds without a window to stop on: enough to order, too few to learn the noise of a small set by heart.
BLIND_ROUNDS = 50
_PATIENCE = 25
# Below so many rows threads wait for each other longer than they work, many times so on a busy machine.
_ROWS_A_THREAD = 100_000


@dataclass(frozen=True)
class Fitted:
    """A trained ranker: the model in LightGBM's own text, its features in order and the gain of each.

    The model's score adds to the margin that `weights` (by channel) give.
    """

    model_text: str
    weights: dict[str, float]
    features: tuple[str, ...]
    importances: list[float]
    rounds: int


def proposed(rows: pa.Table | pa.RecordBatch, features: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows that a channel among the features proposed, all of them where there is no such channel."""
    channels = channels_of(features)
    if not channels:
        return np.ones(rows.num_rows, dtype=bool)
    ranks = matrix(rows, tuple(f"{channel}_rank" for channel in channels))
    return np.asarray(~np.isnan(ranks).all(axis=1))


def fit(
    found: Queries,
    features: tuple[str, ...],
    settings: Ranker,
    rounds: int | None = None,
    imagined: Imagined | None = None,
) -> Fitted:
    """Train with early stopping on the newest window, then again on all windows for as many rounds.

    With `rounds` it is trained for so many. With too few queries on either side (ranker.min_groups) nothing
    is held back and BLIND_ROUNDS are boosted. Without a list to learn from there is the margin alone.
    imagined: further lists for the trees to learn from, each row for its weight.
    """
    learnt = found.only(proposed(found.rows, features)).instructive()
    if not len(learnt.sizes):
        return Fitted("", margin.fit(learnt, channels_of(features)), features, [0.0] * len(features), 0)
    rounds = rounds or best_rounds(learnt, features, settings, imagined)
    weights = margin.fit(learnt, channels_of(features))
    booster = boost(learnt, features, settings, rounds, weights, imagined=imagined)
    gains = booster.feature_importance(importance_type="gain")
    return Fitted(booster.model_to_string(), weights, features, [float(gain) for gain in gains], rounds)


def best_rounds(
    learnt: Queries, features: tuple[str, ...], settings: Ranker, imagined: Imagined | None = None
) -> int:
    """The round at which a ranker of the older windows does best on the newest."""
    newest = learnt.newest
    if min(newest.sum(), (~newest).sum()) < settings.min_groups:
        return min(settings.rounds, BLIND_ROUNDS)
    older = learnt.where(~newest)
    weights = margin.fit(older, channels_of(features))
    known = imagined.until(int(learnt.windows.max())) if imagined else None
    trial = boost(older, features, settings, settings.rounds, weights, learnt.where(newest), known)
    return int(trial.best_iteration)


def boost(
    learnt: Queries,
    features: tuple[str, ...],
    settings: Ranker,
    rounds: int,
    weights: Mapping[str, float],
    stop: Queries | None = None,
    imagined: Imagined | None = None,
) -> "Booster":
    """Boost for so many rounds, or with `stop` until its NDCG@10 has not risen for a while."""
    import lightgbm

    def dataset(parts: Sequence[Queries | Imagined], reference: Any = None, **more: Any) -> Any:
        return lightgbm.Dataset(
            _together([matrix(part.rows, features) for part in parts]),
            _together([part.labels for part in parts]),
            group=_together([part.sizes for part in parts]),
            init_score=_together([margin.score(part.rows, weights) for part in parts]),
            feature_name=list(features),
            reference=reference,
            params={"verbosity": -1},
            free_raw_data=False,
            **more,
        )

    if imagined:
        counts = np.concatenate([np.ones(learnt.rows.num_rows), imagined.weights])
        train = dataset([learnt, imagined], weight=counts)
    else:
        train = dataset([learnt])
    threads = max(1, min(cores(), learnt.rows.num_rows // _ROWS_A_THREAD))
    return lightgbm.train(
        _parameters(settings, features) | {"num_threads": threads},
        train,
        num_boost_round=rounds,
        valid_sets=[] if stop is None else [dataset([stop], train)],
        valid_names=[] if stop is None else ["newest"],
        callbacks=[] if stop is None else [lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )


def _together(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array of several, which is no copy where there is but one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def tuned(settings: Ranker) -> dict[str, Any]:
    """The parameters that were chosen for this data, by their LightGBM names."""
    names = ("num_leaves", "learning_rate", "min_data_in_leaf", "feature_fraction", "lambda_l2", "seed")
    return {name: getattr(settings, name) for name in names}


def _parameters(settings: Ranker, features: tuple[str, ...]) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "monotone_constraints": [DIRECTIONS.get(name, 0) for name in features],
        **tuned(settings),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


class Scorer:
    """A stored ranker, ready to score."""

    def __init__(self, model_text: str, features: list[str], weights: Mapping[str, float], name: str) -> None:
        """model_text: empty for the margin alone. weights: of the margin, by channel. name: for errors."""
        import lightgbm

        try:
            self._booster = lightgbm.Booster(model_str=model_text) if model_text else None
        except lightgbm.basic.LightGBMError as error:
            raise NightmillError(f"{name} cannot be loaded ({str(error).splitlines()[0]})") from None
        self.features, self.weights, self.name = tuple(features), dict(weights), name

    @classmethod
    def of(cls, fitted: Fitted) -> "Scorer":
        """The scorer of a ranker that was just trained."""
        return cls(fitted.model_text, list(fitted.features), fitted.weights, "the ranker")

    @classmethod
    def stored(cls, row: Mapping[str, Any], name: str) -> "Scorer":
        """The scorer of a row of `rankers`."""
        weights = dict(zip(row["margin_channels"], row["margin_weights"], strict=True))
        return cls(row["model_text"], row["features"], weights, name)

    def require(self, published: list[str]) -> None:
        """NightmillError naming the features the ranker needs and the night no longer publishes."""
        if absent := [name for name in self.features if name not in published]:
            raise NightmillError(
                f"{self.name} was trained with features that are not published any more "
                f"({', '.join(absent)}): run `nightmill train_ranker` again"
            )

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        """Scores of rows that have the ranker's features and the channels' ranks: shape (rows,)."""
        if not rows.num_rows or self._booster is None:
            return margin.score(rows, self.weights)
        values = matrix(rows, self.features)
        if self._forest is not None:
            return margin.score(rows, self.weights) + self._forest.score(values)
        learnt = self._booster.predict(values, num_threads=cores())
        return margin.score(rows, self.weights) + np.asarray(learnt, dtype=np.float64)

    def ordering(self, rows: pa.Table) -> NDArray[np.float64]:
        """Scores for a comparison of whole lists: what none of the ranker's channels proposed comes last."""
        return np.where(proposed(rows, self.features), self.score(rows), -np.inf)

    def contributions(self, rows: pa.Table) -> NDArray[np.float64]:
        """What each feature adds to the score of each row (SHAP values): shape (rows, features)."""
        if not rows.num_rows or self._booster is None:
            return np.zeros((rows.num_rows, len(self.features)))
        return self._shapley.values(matrix(rows, self.features))

    @cached_property
    def _forest(self) -> Forest | None:
        assert self._booster is not None
        return Forest.of(self._booster)

    @cached_property
    def _shapley(self) -> Shapley:
        assert self._booster is not None
        return Shapley(self._booster)
