"""train_ranker: the training set -> tonight's ranker, unless the one before does better.

With too little history to learn from there is no ranker: the row says so, and recall scores order the lists.
"""

import json
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import read
from feature_store.sections import Ranker
from feature_store.tables import TABLES
from jobs.night import Night
from jobs.recommender import champion, ranker, ranker_search
from jobs.recommender.groups import chosen, features_of
from jobs.recommender.metrics import PerUser
from jobs.recommender.queries import Queries, ndcg_at_k, queries
from jobs.recommender.synthetic_pairs import Imagined, imagined
from jobs.step import Input, Job

NO_RANKER: dict[str, Any] = {
    "status": "fallback",
    "trained_ds": None,
    "model_text": "",
    "features": [],
    "feature_groups": [],
    "importances": [],
    "parameters": "{}",
    "tuned_ds": None,
    "margin_channels": [],
    "margin_weights": [],
    "rounds": 0,
}
NOT_COMPARED: dict[str, Any] = {
    "champion_ds": None,
    "challenger_lift": None,
    "challenger_low": None,
    "challenger_high": None,
}


def run(night: Night) -> None:
    """Stage the one row of rankers."""
    found = queries(night.read("training_set"))
    learnt = found.instructive()
    settings = night.settings.ranker
    night.count(selected=len(found.labels))
    row: dict[str, Any] = {
        "reason": "",
        "windows": len(found.distinct_windows),
        "groups": len(learnt.sizes),
        "rows": len(learnt.labels),
        "positives": int(learnt.labels.sum()),
        "valid_ndcg_at_10": None,
        "input_max_event_time": pc.max(found.rows["input_max_event_time"]).as_py(),
    }
    if len(learnt.sizes) < settings.min_groups:
        row |= NO_RANKER | NOT_COMPARED | {"reason": _too_few(len(learnt.sizes), settings.min_groups)}
    else:
        with night.progress(3, "train_ranker", "model") as progress:
            row |= _contest(night, found, row, progress.update)
    if row["reason"]:
        night.note(f"train_ranker: {row['reason']}")
    night.write("rankers", _table(row))


def _contest(night: Night, found: Queries, row: dict[str, Any], step: Any) -> dict[str, Any]:
    """Tonight's ranker, or the champion where that is better with confidence on a window new to both."""
    groups = chosen(night.settings.ranker.groups, _verdicts(night))
    features = features_of(groups)
    tuned_ds, settings = _tuned(night, found, features)
    told = imagined(night.read("synthetic_pairs")) if "synthetic" in groups else None
    night.count(synthetic_pairs=len(told or ()))
    trial = _trial(found, features, settings, told)
    step(1)
    judged = {} if trial is None else {"valid_ndcg_at_10": float(np.nanmean(trial))}
    compared = champion.compare(night.earlier("rankers"), found.where(found.newest), trial)
    step(1)
    if compared is not None and compared.stays:
        kept = {name: compared.row[name] for name in NO_RANKER if name != "status"}
        return kept | judged | compared.columns() | {"status": "kept", "reason": compared.reason}
    fitted = ranker.fit(found, features, settings, imagined=told)
    step(1)
    new = {
        "status": "trained",
        "trained_ds": night.ds,
        "model_text": fitted.model_text,
        "features": list(features),
        "feature_groups": list(groups),
        "importances": fitted.importances,
        "tuned_ds": tuned_ds,
        "parameters": json.dumps(ranker.tuned(settings)),
        "margin_channels": list(fitted.weights),
        "margin_weights": list(fitted.weights.values()),
        "rounds": fitted.rounds,
    }
    return new | judged | (NOT_COMPARED if compared is None else compared.columns())


def _tuned(night: Night, found: Queries, features: tuple[str, ...]) -> tuple[date, Ranker]:
    """The settings with what a search found, tonight or less than tuning.days ago, and when it did.

    With ranker.trials = 0 they are what the settings say, from tonight on.
    """
    settings = night.settings.ranker
    for earlier in night.earlier("rankers")[-1:] if settings.trials else ():
        (row,) = read("rankers", earlier.files, ["tuned_ds", "parameters"]).to_pylist()
        tuned_ds = row["tuned_ds"]
        if tuned_ds is not None and (night.ds - tuned_ds).days < night.settings.tuning.days:
            return tuned_ds, settings.model_copy(update=json.loads(row["parameters"]))
    return night.ds, settings.model_copy(update=ranker_search.search(found, features, settings))


def _trial(
    found: Queries, features: tuple[str, ...], settings: Ranker, told: Imagined | None
) -> PerUser | None:
    """NDCG@10 by query of the newest window, of a ranker of the older ones; None without both."""
    older, newest = found.where(~found.newest), found.where(found.newest)
    if len(older.instructive().sizes) < settings.min_groups:
        return None
    known = told.until(int(found.windows.max())) if told else None
    fitted = ranker.fit(older, features, settings, imagined=known)
    return ndcg_at_k(newest, ranker.Scorer.of(fitted).ordering(newest.rows))


def _verdicts(night: Night) -> dict[str, str]:
    rows = night.read("ablations", ["feature_group", "verdict"]).to_pylist()
    return {row["feature_group"]: row["verdict"] for row in rows}


def _too_few(groups: int, needed: int) -> str:
    return (
        f"{groups} earlier lists have both taken and untaken candidates and a ranker needs {needed} "
        "(ranker.min_groups), so recall scores order the lists"
    )


def _table(row: dict[str, Any]) -> pa.Table:
    schema = TABLES["rankers"].schema
    return pa.table({name: pa.array([value], schema.field(name).type) for name, value in row.items()})


JOB = Job(
    name="train_ranker",
    summary="training set and verdicts -> LightGBM ranker",
    inputs=(
        Input("training_set"),
        Input("synthetic_pairs"),
        Input("ablations"),
        Input("rankers", earlier=True),
    ),
    outputs=("rankers",),
    run=run,
    settings=("ranker", "tuning"),
)
