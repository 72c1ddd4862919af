"""evaluate: an earlier night's lists -> evaluations, report.html.

Full ranking: a list competes against the whole catalogue, whatever it leaves out is missed. Items the user
had taken before count neither for nor against. Only users who took something new have a value.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from feature_store.partitions import Partition
from feature_store.tables import TABLES
from jobs.night import Night, end_of
from jobs.recommender import metrics
from jobs.recommender.judged import MERGED, Channel, Judged, judge
from jobs.report.page import write
from jobs.step import Input, Job

LIST_METRICS = {
    "ndcg_at_k": metrics.ndcg_at_k,
    "recall_at_k": metrics.recall_at_k,
    "hit_rate_at_k": metrics.hit_rate_at_k,
}
Row = dict[str, Any]


def run(night: Night) -> None:
    """Judge the newest night whose horizon is over, and write its metrics."""
    partitions = _due(night)
    horizon_days = night.settings.evaluate.horizon_days
    if partitions is None:
        night.note(
            f"nothing to evaluate as of {night.ds}: no night with recommendations is "
            f"{horizon_days} days older"
        )
        night.write("evaluations", _table([], {}))
        return
    lists, candidates, catalogue_size = partitions
    cutoffs = night.settings.evaluate.cutoffs
    judged = judge(night.files("interactions"), lists, candidates, horizon_days, cutoffs)
    rows = [*_coverage_rows(judged, catalogue_size)]
    if judged.relevant:
        rows += [*_list_rows(judged, cutoffs), *_recall_rows(judged)]
    same = {"evaluated_ds": lists.ds, "horizon_days": horizon_days}
    night.write("evaluations", _table(rows, same | {"input_max_event_time": judged.newest_event}))
    night.count(users_evaluated=len(judged.relevant))


def _due(night: Night) -> tuple[Partition, Partition, int] | None:
    """Lists, candidates and catalogue size of the newest night whose horizon ended before this one."""
    horizon = timedelta(days=night.settings.evaluate.horizon_days)
    candidates = {p.ds: p for p in night.earlier("candidates")}
    catalogues = {p.ds: p.manifest["rows"]["written"] for p in night.earlier("items")}
    for lists in reversed(night.earlier("recommendations")):
        over = end_of(lists.ds) + horizon <= night.as_of
        if over and lists.ds in candidates and lists.ds in catalogues:
            return lists, candidates[lists.ds], catalogues[lists.ds]
    return None


def _coverage_rows(judged: Judged, catalogue_size: int) -> list[Row]:
    rows = []
    for (stage, k), (items, users) in judged.covered.items():
        share = items / catalogue_size if catalogue_size else 0.0
        rows.append(_row(stage, "item_coverage", k, metrics.Interval(share, np.nan, np.nan), users))
    return rows


def _list_rows(judged: Judged, cutoffs: Sequence[int]) -> list[Row]:
    rows = []
    for metric, measure in LIST_METRICS.items():
        for k in cutoffs:
            values = {stage: measure(lists, judged.relevant, k) for stage, lists in judged.lists.items()}
            rows += _compared(values, metric, k)
    return rows


def _compared(values: Mapping[str, metrics.PerUser], metric: str, k: int) -> list[Row]:
    """Every stage by itself, then what was published against every other stage, user by user."""
    users = len(next(iter(values.values())))
    rows = [_row(stage, metric, k, metrics.bootstrap(value), users) for stage, value in values.items()]
    published, *others = values
    for other in others:
        difference = metrics.paired_bootstrap(values[published], values[other])
        rows.append(_row(published, metric, k, difference, users, other))
    return rows


def _recall_rows(judged: Judged) -> list[Row]:
    """Candidate recall merged and of each channel, and what each channel alone brought in."""
    rows = []
    for stage, channel in judged.recall.items():
        if not channel.size:
            continue
        found = {"candidate_recall_at_n": channel.found}
        if stage != MERGED:
            others = [other for name, other in judged.recall.items() if name not in (MERGED, stage)]
            found["candidate_recall_gain_at_n"] = _only_here(channel, others)
        for metric, lists in found.items():
            share = metrics.candidate_recall_at_n(lists, judged.relevant, channel.size)
            rows.append(_row(stage, metric, channel.size, metrics.bootstrap(share), len(judged.relevant)))
    return rows


def _only_here(channel: Channel, others: Sequence[Channel]) -> list[list[str]]:
    """Each user's finds that no other channel proposed."""
    users = range(len(channel.found))
    elsewhere = [set().union(*(other.found[i] for other in others)) for i in users]
    pairs = zip(channel.found, elsewhere, strict=True)
    return [[item for item in items if item not in found] for items, found in pairs]


def _row(
    stage: str, metric: str, k: int, interval: metrics.Interval, users: int, compared_to: str = ""
) -> Row:
    low, high = (None if np.isnan(end) else end for end in interval[1:])
    row: Row = {"stage": stage, "metric": metric, "k": k, "compared_to": compared_to}
    return row | {"value": interval.mean, "low": low, "high": high, "users": users}


def _table(rows: Sequence[Row], same: Row) -> pa.Table:
    names = [*(column.name for column in TABLES["evaluations"].columns), "input_max_event_time"]
    schema = pa.schema([TABLES["evaluations"].schema.field(name) for name in names])
    return pa.Table.from_pylist([same | row for row in rows], schema)


def report(night: Night) -> None:
    """Write the report of the night, now that its evaluation is published."""
    write(night.store, night.ds, night.settings)


JOB = Job(
    name="evaluate",
    summary="an earlier night's lists -> evaluations, report.html",
    inputs=(
        Input("interactions"),
        Input("recommendations"),
        Input("recommendations", earlier=True),
        Input("candidates", earlier=True),
        Input("items", earlier=True),
    ),
    outputs=("evaluations",),
    run=run,
    settings=("evaluate", "report"),
    after=report,
)
