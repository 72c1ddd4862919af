"""evaluate: an earlier night's lists -> evaluations, report.html.

Full ranking: a list competes against the whole catalogue, whatever it leaves out is missed. Items the user
had taken before count neither for nor against, unless recall.repeats. Only users who took something that
counts have a value. docs/protocol.md says how.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from feature_store.freshness import stale
from feature_store.partitions import POINTER, Partition, Store, read
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.night import Night, end_of
from jobs.recommender import slices
from jobs.recommender.intervals import Bootstrap, Interval
from jobs.recommender.judged import Judged, Terms
from jobs.recommender.judging import judging
from jobs.recommender.list_qualities import known_of
from jobs.recommender.measures import DECILES, LIST_METRICS, QUALITIES, Key, Measures
from jobs.recommender.published_values import EARLIER, PublishedValues, differences
from jobs.report.page import report_path, write
from jobs.step import Input, Job

Row = dict[str, Any]
# What lists are compared with: those of about so many days before.
A_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Due:
    """The partitions of a night that is to be judged."""

    lists: Partition
    candidates: Partition
    items: Partition
    embeddings: Partition | None


def run(night: Night) -> None:
    """Judge the newest night whose horizon is over, and write its metrics; say which tables are stale."""
    for behind in stale(night.store, night.ds, leaving_out=JOB.outputs):
        night.note(str(behind))
    due = _due(night)
    horizon_days = night.settings.evaluate.horizon_days
    if due is None:
        night.note(
            f"nothing to evaluate as of {night.ds}: no night with recommendations is "
            f"{horizon_days} days older"
        )
        night.write("evaluations", _table([], {}))
        return
    rows, values, newest = _judged(night, due)
    rows += _against_earlier(night, due.lists, values)
    same = {"evaluated_ds": due.lists.ds, "horizon_days": horizon_days}
    night.write("evaluations", _table(rows, same | {"input_max_event_time": newest}))
    night.count(users_evaluated=len(values.user_ids))


def _due(night: Night) -> Due | None:
    """The newest night with lists, candidates and a catalogue whose horizon ended before this one."""
    horizon = timedelta(days=night.settings.evaluate.horizon_days)
    tables = ("candidates", "items", "item_embeddings")
    found = {table: {p.ds: p for p in night.earlier(table)} for table in tables}
    for lists in reversed(night.earlier("recommendations")):
        candidates, items, embeddings = (found[table].get(lists.ds) for table in tables)
        if end_of(lists.ds) + horizon <= night.as_of and candidates and items:
            return Due(lists, candidates, items, embeddings)
    return None


def _terms(night: Night) -> Terms:
    settings = night.settings
    longest = max(settings.evaluate.cutoffs)
    return Terms(settings.evaluate.horizon_days, longest, settings.recall.repeats)


def _judged(night: Night, due: Due) -> tuple[list[Row], PublishedValues, Any]:
    """Every row about the night itself, the published lists' values by user, and the newest event read."""
    terms, cutoffs = _terms(night), night.settings.evaluate.cutoffs
    events, candidates, items = night.files("interactions"), due.candidates.files, due.items.files
    with judging(events, due.lists, candidates, items, terms) as judged:
        measures = _measures(night, due, judged)
        sample, values = Bootstrap(measures.keys), PublishedValues(cutoffs)
        with night.progress(judged.users, "evaluate", "user") as progress:
            for block in judged.blocks():
                sample.add(*measures.of(block))
                values.add(block, judged.published)
                progress.update(len(block.user_ids))
        rows = _coverage_rows(judged, cutoffs)
        return rows + _measured(sample, measures), values, judged.newest_event


def _measures(night: Night, due: Due, judged: Judged) -> Measures:
    few = night.settings.cold_start.max_events
    embeddings = read(
        "item_embeddings",
        due.embeddings.files if due.embeddings else [],
        ["item_id", "embedding", "model_id"],
    )
    candidates = judged.candidates_a_user()
    # A channel without a proposal for anybody is not there tonight.
    absent = {stage for stage, most in candidates.items() if not most} - {judged.published}
    return Measures(
        stages=[stage for stage in judged.stages if stage not in absent],
        cutoffs=night.settings.evaluate.cutoffs,
        candidates=candidates,
        of_item=slices.of_items(judged.items.events, few),
        qualities=known_of(
            judged.items, read("items", due.items.files, ["item_id", "categories"]), embeddings
        ),
        usual_events=judged.usual_events,
        new_events=few,
        bounds=judged.score_bounds(DECILES),
    )


def _coverage_rows(judged: Judged, cutoffs: Sequence[int]) -> list[Row]:
    size, rows = int(judged.items.listed.sum()), []
    for stage in judged.stages:
        for k in cutoffs:
            items, users = judged.covered(stage, k)
            if users:
                share = Interval(items / size if size else 0.0, np.nan, np.nan)
                rows.append(_row(Key(stage, "item_coverage", k), "", share, users))
    return rows


def _measured(sample: Bootstrap, measures: Measures) -> list[Row]:
    """Every measure, and what was published minus every other stage over the same users."""
    rows = [_row(key, "", sample.mean(key), sample.users(key)) for key in measures.keys if sample.users(key)]
    published, *others = measures.stages
    for key in measures.keys:
        if key.stage != published or key.metric not in (*LIST_METRICS, *QUALITIES):
            continue
        for other in others:
            theirs = key._replace(stage=other)
            if sample.users(key) and sample.users(theirs):
                rows.append(_row(key, other, sample.difference(key, theirs), sample.users(key)))
    return rows


def _against_earlier(night: Night, lists: Partition, values: PublishedValues) -> list[Row]:
    """The published lists minus those of about a week before, each judged by its own days."""
    earlier = [p for p in night.earlier("recommendations") if p.ds < lists.ds]
    if not earlier or not len(values.user_ids):
        return []
    # Of two that are as near, the older.
    then = min(earlier, key=lambda p: (abs(p.ds - (lists.ds - A_WEEK)), p.ds))
    items = next((p.files for p in night.earlier("items") if p.ds == then.ds), [])
    theirs = PublishedValues(values.cutoffs)
    with judging(night.files("interactions"), then, [], items, _terms(night)) as judged:
        for block in judged.blocks():
            theirs.add(block, judged.published)
    found = differences(values, theirs)
    return [_row(key, EARLIER, *row) | {"compared_ds": then.ds} for key, row in found.items()]


def _row(key: Key, compared_to: str, interval: Interval, users: int) -> Row:
    low, high = (None if np.isnan(end) else end for end in interval[1:])
    row: Row = {"stage": key.stage, "metric": key.metric, "k": key.k, "slice": key.slice}
    ends = {"value": interval.mean, "low": low, "high": high}
    return row | ends | {"compared_to": compared_to, "compared_ds": None, "users": users}


def _table(rows: Sequence[Row], same: Row) -> pa.Table:
    names = [*(column.name for column in TABLES["evaluations"].columns), "input_max_event_time"]
    schema = pa.schema([TABLES["evaluations"].schema.field(name) for name in names])
    return pa.Table.from_pylist([same | row for row in rows], schema)


def report(store: Store, ds: date, settings: Settings) -> None:
    """Write the report of the night, unless it is younger than the evaluation it tells of."""
    published = store.folder("evaluations", ds) / POINTER
    written = report_path(store, ds)
    if not written.exists() or written.stat().st_mtime < published.stat().st_mtime:
        write(store, ds, settings)


JOB = Job(
    name="evaluate",
    summary="an earlier night's lists -> evaluations, report.html",
    inputs=(
        Input("interactions"),
        Input("recommendations"),
        Input("recommendations", earlier=True),
        Input("candidates", earlier=True),
        Input("items", earlier=True),
        Input("item_embeddings", earlier=True),
    ),
    outputs=("evaluations",),
    run=run,
    settings=("evaluate", "report", "cold_start", "recall"),
    after=report,
)
