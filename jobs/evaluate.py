"""evaluate: an earlier night's lists -> evaluations, report.html.

Full ranking: a list competes against the whole catalogue, whatever it leaves out is missed. Items the user
had taken before count neither for nor against. Only users who took something new have a value.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from feature_store.freshness import stale
from feature_store.partitions import POINTER, Partition, Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.night import Night, end_of
from jobs.recommender import metrics
from jobs.recommender.judged import MERGED, Channel, Judged, judge
from jobs.report.page import report_path, write
from jobs.step import Input, Job

LIST_METRICS = {
    "ndcg_at_k": metrics.ndcg_at_k,
    "recall_at_k": metrics.recall_at_k,
    "hit_rate_at_k": metrics.hit_rate_at_k,
}
Row = dict[str, Any]
# stage, metric, cut-off, and the stage it is a difference to
Key = tuple[str, str, int, str]


def run(night: Night) -> None:
    """Judge the newest night whose horizon is over, and write its metrics; say which tables are stale."""
    for behind in stale(night.store, night.ds, leaving_out=JOB.outputs):
        night.note(str(behind))
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
    rows = _coverage_rows(judged, catalogue_size) + (_measured(judged, cutoffs) if judged.relevant else [])
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
        rows.append(_row(stage, "item_coverage", k, "", metrics.Interval(share, np.nan, np.nan), users))
    return rows


def _measured(judged: Judged, cutoffs: Sequence[int]) -> list[Row]:
    """Every measure taken user by user, with intervals over the same resamples of the users."""
    measures = _list_measures(judged, cutoffs) | _recall_measures(judged)
    intervals = metrics.bootstrap_together(list(measures.values()))
    users = len(judged.relevant)
    return [_row(*key, interval, users) for key, interval in zip(measures, intervals, strict=True)]


def _list_measures(judged: Judged, cutoffs: Sequence[int]) -> dict[Key, metrics.PerUser]:
    """Every stage by itself, and what was published minus every other stage, user by user."""
    found: dict[Key, metrics.PerUser] = {}
    for metric, measure in LIST_METRICS.items():
        for k in cutoffs:
            values = {stage: measure(lists, judged.relevant, k) for stage, lists in judged.lists.items()}
            published, *others = values
            found |= {(stage, metric, k, ""): value for stage, value in values.items()}
            found |= {(published, metric, k, other): values[published] - values[other] for other in others}
    return found


def _recall_measures(judged: Judged) -> dict[Key, metrics.PerUser]:
    """Candidate recall merged and of each channel, and what each channel alone brought in."""
    found: dict[Key, metrics.PerUser] = {}
    for stage, channel in judged.recall.items():
        if not channel.size:
            continue
        share = metrics.candidate_recall_at_n(channel.found, judged.relevant, channel.size)
        found[stage, "candidate_recall_at_n", channel.size, ""] = share
        if stage != MERGED:
            others = [other for name, other in judged.recall.items() if name not in (MERGED, stage)]
            gain = metrics.candidate_recall_at_n(_only_here(channel, others), judged.relevant, channel.size)
            found[stage, "candidate_recall_gain_at_n", channel.size, ""] = gain
    return found


def _only_here(channel: Channel, others: Sequence[Channel]) -> list[list[str]]:
    """Each user's finds that no other channel proposed."""
    users = range(len(channel.found))
    elsewhere = [set().union(*(other.found[i] for other in others)) for i in users]
    pairs = zip(channel.found, elsewhere, strict=True)
    return [[item for item in items if item not in found] for items, found in pairs]


def _row(stage: str, metric: str, k: int, compared_to: str, interval: metrics.Interval, users: int) -> Row:
    low, high = (None if np.isnan(end) else end for end in interval[1:])
    row: Row = {"stage": stage, "metric": metric, "k": k, "compared_to": compared_to}
    return row | {"value": interval.mean, "low": low, "high": high, "users": users}


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
    ),
    outputs=("evaluations",),
    run=run,
    settings=("evaluate", "report"),
    after=report,
)
