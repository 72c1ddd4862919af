"""recommend: candidates, scored by the night's ranker -> the best items of every active user.

Without a ranker the merged recall score orders the list. A list that is shorter than recommend.top is filled
from what is trending, then from the rest of the catalogue; it stays short only where a user has seen it all.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store.errors import NightmillError
from feature_store.tables import TABLES
from jobs import training_set
from jobs.night import Night
from jobs.recommender.history import COLUMNS, History, codes, encode
from jobs.recommender.lists import Lists, best, fill
from jobs.recommender.ranker import Scorer
from jobs.step import Input, Job

_SHOWN = ["user_id", "item_id", "score", "channels"]
_SCHEMA = pa.schema([TABLES["recommendations"].schema.field(name) for name in _SHOWN])


def run(night: Night) -> None:
    """Score the candidates, keep the best of each user, fill short lists, stage recommendations."""
    items = night.read("items", ["item_id"])["item_id"]
    history = encode(night.read("interactions", COLUMNS), items, night.as_of)
    scorer = _scorer(night)
    top = night.settings.recommend.top
    kept = pa.concat_tables([_SCHEMA.empty_table(), *_best_of_each_file(night, scorer, history, top)])
    rows = _complete(night, kept, history, top)
    same = {
        "stage": "candidates" if scorer is None else "ranker",
        "ranker_ds": None if scorer is None else night.ds,
        "input_max_event_time": history.newest,
    }
    for name, value in same.items():
        type_ = TABLES["recommendations"].schema.field(name).type
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, type_), rows.num_rows))
    night.write("recommendations", rows)


def _scorer(night: Night) -> Scorer | None:
    """The ranker of the night, None where recall scores have to do."""
    (row,) = night.read("rankers").to_pylist()
    if row["status"] == "fallback":
        night.note(f"recommend: {row['reason']}")
        return None
    return Scorer.stored(row, f"the ranker of {night.ds}")


def _best_of_each_file(night: Night, scorer: Scorer | None, history: History, top: int) -> Iterator[pa.Table]:
    if scorer is None:
        yield from _best(night, night.files("candidates"), None, history, top)
        return
    with training_set.score_rows(night) as files:
        yield from _best(night, files, scorer, history, top)


def _best(
    night: Night, files: list[Path], scorer: Scorer | None, history: History, top: int
) -> Iterator[pa.Table]:
    total = sum(pq.read_metadata(file).num_rows for file in files)
    with night.progress(total, "recommend", "row") as progress:
        for file in files:
            rows = pq.read_table(file, partitioning=None)
            if scorer is not None:
                scorer.require(rows.column_names)
                scores = pa.array(scorer.score(rows))
                rows = rows.set_column(rows.column_names.index("score"), "score", scores)
            progress.update(rows.num_rows)
            yield _top(rows.select(_SHOWN).cast(_SCHEMA), history, top)


def _top(rows: pa.Table, history: History, top: int) -> pa.Table:
    """The best rows of each user: no item twice, none that was seen or has left the catalogue."""
    users, items, scores = _coded(rows, history)
    if not np.isfinite(scores).all():
        raise NightmillError(
            "a score is not a finite number: run `nightmill fit_recall` and `train_ranker` again"
        )
    pairs = users * len(history.item_ids) + items
    seen = history.users.astype(np.int64) * len(history.item_ids) + history.items
    allowed = (users >= 0) & (items >= 0) & ~np.isin(pairs, seen)
    first = np.zeros(len(pairs), dtype=bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    places = np.flatnonzero(allowed & first)
    order, _ = best(users[places], items[places], scores[places], top)
    return rows.take(pa.array(places[order]))


def _complete(night: Night, rows: pa.Table, history: History, top: int) -> pa.Table:
    """Add what short lists lack, and the ranks."""
    users, items, scores = _coded(rows, history)
    active = history.active(night.settings.activity.days)
    half_life = night.settings.recall.trending_half_life_days
    filling = fill(history, active, Lists(users, items, scores), top, half_life)
    if len(filling.users):
        night.note(
            f"recommend: {len(filling.users):,} places of short lists were filled from what is trending"
        )
    added = pa.table(
        {
            "user_id": history.user_ids.take(pa.array(filling.users)),
            "item_id": history.item_ids.take(pa.array(filling.items)),
            "score": pa.array(filling.scores),
            "channels": pa.array([["trending"]] * len(filling.users), _SCHEMA.field("channels").type),
        }
    )
    rows = pa.concat_tables([rows, added.cast(_SCHEMA)])
    users, items, scores = _coded(rows, history)
    order, ranks = best(users, items, scores, top)
    night.count(selected=len(np.unique(users)))
    return rows.take(pa.array(order)).append_column("rank", pa.array(ranks))


def _coded(
    rows: pa.Table, history: History
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    users = codes(rows["user_id"], history.user_ids).astype(np.int64)
    items = codes(rows["item_id"], history.item_ids).astype(np.int64)
    return users, items, rows["score"].to_numpy()


JOB = Job(
    name="recommend",
    summary="candidates and ranker -> the best items of every active user",
    inputs=(Input("interactions"), Input("items"), Input("rankers"), *training_set.SCORING_INPUTS),
    outputs=("recommendations",),
    run=run,
    settings=("activity", "recall", "recommend", "spark"),
)
