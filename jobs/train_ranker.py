"""train_ranker: past candidates and what was taken of them -> the training set and the ranker.

With too little history to learn from there is no ranker: the row says so, and recall scores order the lists.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import read
from feature_store.tables import TABLES
from jobs import training_set
from jobs.night import Night
from jobs.recommender import ranker
from jobs.step import Job


def run(night: Night) -> None:
    """Stage training_set and the one row of rankers."""
    if night.earlier("candidates"):
        training_set.build(night)
    else:
        # Nothing to join, and starting Spark to find that out takes longer than all the rest.
        night.write("training_set", TABLES["training_set"].schema.empty_table())
    rows = read("training_set", night.staged_files("training_set"))
    found = ranker.queries(rows)
    settings = night.settings.ranker
    row: dict[str, Any] = {
        "features": list(ranker.FEATURES),
        "groups": len(found.sizes),
        "rows": len(found.labels),
        "positives": int(found.labels.sum()),
        "input_max_event_time": pc.max(rows["input_max_event_time"]).as_py(),
    }
    if len(found.sizes) < settings.min_groups:
        row |= _fallback(len(found.sizes), settings.min_groups)
        night.note(f"train_ranker: {row['reason']}")
    else:
        with night.progress(len(found.labels), "train_ranker", "row") as progress:
            row |= _trained(ranker.fit(found, settings))
            progress.update(len(found.labels))
    night.count(selected=rows.num_rows)
    night.write("rankers", _table(row))


def _trained(fitted: ranker.Fitted) -> dict[str, Any]:
    return {
        "status": "trained",
        "reason": "",
        "model_text": fitted.model_text,
        "importances": fitted.importances,
        "rounds": fitted.rounds,
        "valid_ndcg_at_10": fitted.valid_ndcg_at_10,
    }


def _fallback(groups: int, needed: int) -> dict[str, Any]:
    return {
        "status": "fallback",
        "reason": (
            f"{groups} earlier queries have both taken and untaken candidates and a ranker needs {needed} "
            "(ranker.min_groups), so recall scores order the lists"
        ),
        "model_text": "",
        "importances": [],
        "rounds": 0,
        "valid_ndcg_at_10": None,
    }


def _table(row: dict[str, Any]) -> pa.Table:
    schema = TABLES["rankers"].schema
    return pa.table({name: pa.array([value], schema.field(name).type) for name, value in row.items()})


JOB = Job(
    name="train_ranker",
    summary="training set as of each label's time -> LightGBM ranker",
    inputs=training_set.TRAINING_INPUTS,
    outputs=("training_set", "rankers"),
    run=run,
    settings=("ranker", "spark"),
)
