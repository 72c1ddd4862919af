"""How the ranker is boosted, searched on the older label windows: the newest, which judges it, has no say."""

from typing import Any

import numpy as np

from feature_store.sections import Ranker
from jobs.recommender import margin, ranker
from jobs.recommender.groups import channels_of
from jobs.recommender.metrics import PerUser
from jobs.recommender.queries import Queries, matrix, ndcg_at_k
from jobs.recommender.tuning import clearly_better, study


def search(found: Queries, features: tuple[str, ...], settings: Ranker) -> dict[str, Any]:
    """Settings that do better than the given ones on the last but one window, learnt from those before it.

    Empty where there are fewer than three windows, or too few lists in them (ranker.min_groups), or where
    nothing that was tried is better by more than a standard error over the lists.
    """
    known = found.where(~found.newest)
    known = known.only(ranker.proposed(known.rows, features)).instructive()
    learnt, judged = known.where(~known.newest), known.where(known.newest)
    if not settings.trials or min(len(learnt.sizes), len(judged.sizes)) < settings.min_groups:
        return {}
    usual = _judge(learnt, judged, features, settings)
    tried: list[tuple[dict[str, Any], PerUser]] = []

    def objective(trial: Any) -> float:
        changed = _suggest(trial)
        gains = _judge(learnt, judged, features, settings.model_copy(update=changed)) - usual
        tried.append((changed, gains))
        return float(gains.mean())

    study(settings.seed).optimize(objective, n_trials=settings.trials)
    changed, gains = max(tried, key=lambda entry: entry[1].mean())
    return changed if clearly_better(gains) else {}


def _suggest(trial: Any) -> dict[str, Any]:
    return {
        "num_leaves": trial.suggest_int("num_leaves", 4, 63, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
        "feature_fraction": round(trial.suggest_float("feature_fraction", 0.3, 1.0), 2),
        "lambda_l2": round(trial.suggest_float("lambda_l2", 0.01, 30.0, log=True), 2),
    }


def _judge(learnt: Queries, judged: Queries, features: tuple[str, ...], settings: Ranker) -> PerUser:
    weights = margin.fit(learnt, channels_of(features))
    booster = ranker.boost(learnt, features, settings, settings.rounds, weights, judged)
    learnt_scores = np.asarray(booster.predict(matrix(judged.rows, features)), dtype=np.float64)
    return ndcg_at_k(judged, margin.score(judged.rows, weights) + learnt_scores)
