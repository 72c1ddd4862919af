"""evaluate: an earlier night's lists -> evaluations, report.html.

Full ranking: a list competes against the whole catalogue, whatever it leaves out is missed. Items the user
had taken before count neither for nor against. Only users who took something new have a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from feature_store.partitions import Partition
from feature_store.tables import CHANNELS, TABLES
from jobs.night import Night, end_of
from jobs.recommender import metrics
from jobs.report.page import write
from jobs.step import Input, Job

LIST_METRICS = {
    "ndcg_at_k": metrics.ndcg_at_k,
    "recall_at_k": metrics.recall_at_k,
    "hit_rate_at_k": metrics.hit_rate_at_k,
}
# The stage name for recall's merged list, which is also what is published when there is no ranker.
MERGED = "candidates"
Row = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """The lists of one night beside what their users took afterwards.

    users (n,); relevant: n sets of items; lists: stage -> n lists, as long as the longest cut-off;
    candidates: recall's stages in full length; coverage: rows over all listed users, judged or not.
    """

    ds: date
    users: list[str]
    relevant: list[set[str]]
    lists: Mapping[str, list[list[str]]]
    candidates: Mapping[str, list[list[str]]]
    coverage: list[Row]
    newest_event: Any


def run(night: Night) -> None:
    """Judge the newest night whose horizon is over, and write its metrics."""
    partitions = _due(night)
    if partitions is None:
        night.note(
            f"nothing to evaluate as of {night.ds}: no night with recommendations is "
            f"{night.settings.evaluate.horizon_days} days older"
        )
        night.write("evaluations", _table([], None))
        return
    judged = _judge(night, *partitions)
    rows = _rows(judged, night.settings.evaluate.cutoffs)
    same = {"evaluated_ds": judged.ds, "horizon_days": night.settings.evaluate.horizon_days}
    night.write("evaluations", _table([same | row for row in rows], judged.newest_event))
    night.count(users_evaluated=len(judged.users))


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


def _judge(night: Night, lists: Partition, candidates: Partition, catalogue_size: int) -> Judged:
    longest = max(night.settings.evaluate.cutoffs)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _view(connection, "events", night.files("interactions"), "interactions")
        _view(connection, "recommendations", lists.files, "recommendations")
        _view(connection, "candidates", candidates.files, "candidates")
        newest = _find_relevant(connection, lists.ds, night.settings.evaluate.horizon_days)
        found = connection.execute("SELECT user_id, list(item_id) FROM relevant GROUP BY ALL ORDER BY ALL")
        relevant = {user: set(items) for user, items in found.fetchall()}
        ranks = _stages(connection)
        users = list(relevant)
        return Judged(
            lists.ds,
            users,
            list(relevant.values()),
            {stage: _lists(connection, users, *source, longest) for stage, source in ranks.items()},
            {
                stage: _lists(connection, users, "candidates", source[1])
                for stage, source in ranks.items()
                if stage != "ranker"
            },
            [
                _coverage(connection, stage, *source, k, catalogue_size)
                for stage, source in ranks.items()
                for k in night.settings.evaluate.cutoffs
            ],
            newest,
        )


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: list[Any], table: str) -> None:
    if files:
        connection.read_parquet([str(file) for file in files]).create_view(name)
    else:
        connection.register(name, TABLES[table].schema.empty_table())


def _find_relevant(connection: duckdb.DuckDBPyConnection, ds: date, horizon_days: int) -> Any:
    """Make the table of what listed users took in the horizon and had not taken before; its newest event."""
    start = end_of(ds)
    connection.execute(
        """
        CREATE TABLE relevant AS
        WITH listed AS (SELECT DISTINCT user_id FROM recommendations),
             taken AS (
                 SELECT user_id, item_id, max(event_time) AS event_time
                 FROM events SEMI JOIN listed USING (user_id)
                 WHERE event_time >= $start AND event_time < $stop
                 GROUP BY ALL
             )
        SELECT * FROM taken
        ANTI JOIN (SELECT user_id, item_id FROM events WHERE event_time < $start) AS seen
            USING (user_id, item_id)
        """,
        {"start": start, "stop": start + timedelta(days=horizon_days)},
    )
    newest = connection.sql("SELECT max(event_time) AS newest FROM relevant").to_arrow_table()
    return newest["newest"][0].as_py()


def _stages(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, str]]:
    """Stage -> (view, rank column): what was published, then merged recall and each channel."""
    ranked = connection.execute("SELECT count(*) FROM recommendations WHERE stage = 'ranker'").fetchall()
    merged = {MERGED: ("candidates", "rank")}
    if ranked[0][0]:
        merged = {"ranker": ("recommendations", "rank"), **merged}
    return merged | {channel: ("candidates", f"{channel}_rank") for channel in CHANNELS}


def _lists(
    connection: duckdb.DuckDBPyConnection, users: list[str], view: str, rank: str, longest: int | None = None
) -> list[list[str]]:
    limit = "" if longest is None else f"AND {rank} <= {longest:d}"
    rows = connection.execute(
        f"""
        SELECT user_id, list(item_id ORDER BY {rank}, item_id) FROM {view}
        WHERE user_id IN (SELECT user_id FROM relevant) AND {rank} IS NOT NULL {limit} GROUP BY user_id
        """
    ).fetchall()
    by_user = dict(rows)
    return [by_user.get(user, []) for user in users]


def _coverage(
    connection: duckdb.DuckDBPyConnection, stage: str, view: str, rank: str, k: int, catalogue_size: int
) -> Row:
    query = f"SELECT count(DISTINCT item_id), count(DISTINCT user_id) FROM {view} WHERE {rank} <= {k:d}"
    items, users = connection.execute(query).fetchall()[0]
    share = items / catalogue_size if catalogue_size else 0.0
    return _row(stage, "item_coverage", k, metrics.Interval(share, np.nan, np.nan), users)


def _rows(judged: Judged, cutoffs: tuple[int, ...]) -> list[Row]:
    rows = list(judged.coverage)
    if not judged.users:
        return rows
    for metric, measure in LIST_METRICS.items():
        for k in cutoffs:
            values = {stage: measure(lists, judged.relevant, k) for stage, lists in judged.lists.items()}
            rows += _compared(values, metric, k)
    return rows + _candidate_rows(judged)


def _compared(values: dict[str, metrics.PerUser], metric: str, k: int) -> list[Row]:
    """Every stage by itself, then what is published against every other stage, user by user."""
    users = len(next(iter(values.values())))
    rows = [_row(stage, metric, k, metrics.bootstrap(value), users) for stage, value in values.items()]
    published, *others = values
    for other in others:
        difference = metrics.paired_bootstrap(values[published], values[other])
        rows.append(_row(published, metric, k, difference, users, other))
    return rows


def _candidate_rows(judged: Judged) -> list[Row]:
    """Candidate recall of each channel and merged, and what each channel alone brought in."""
    rows = []
    for stage, lists in judged.candidates.items():
        n = max(map(len, lists), default=0)
        if not n:
            continue
        found = metrics.candidate_recall_at_n(lists, judged.relevant, n)
        rows.append(_row(stage, "candidate_recall_at_n", n, metrics.bootstrap(found), len(judged.users)))
        if stage != MERGED:
            others = [other for name, other in judged.candidates.items() if name not in (MERGED, stage)]
            alone = _only_here(lists, others)
            gained = metrics.candidate_recall_at_n(alone, judged.relevant, n)
            row = _row(stage, "candidate_recall_gain_at_n", n, metrics.bootstrap(gained), len(judged.users))
            rows.append(row)
    return rows


def _only_here(lists: list[list[str]], others: list[list[list[str]]]) -> list[list[str]]:
    """Each user's items that no other channel proposed."""
    elsewhere = [set().union(*(other[i] for other in others)) for i in range(len(lists))]
    pairs = zip(lists, elsewhere, strict=True)
    return [[item for item in items if item not in found] for items, found in pairs]


def _row(
    stage: str, metric: str, k: int, interval: metrics.Interval, users: int, compared_to: str = ""
) -> Row:
    low, high = (None if np.isnan(end) else end for end in interval[1:])
    row: Row = {"stage": stage, "metric": metric, "k": k, "compared_to": compared_to}
    return row | {"value": interval.mean, "low": low, "high": high, "users": users}


def _table(rows: list[Row], newest_event: Any) -> pa.Table:
    names = [*(column.name for column in TABLES["evaluations"].columns), "input_max_event_time"]
    schema = pa.schema([TABLES["evaluations"].schema.field(name) for name in names])
    return pa.Table.from_pylist([row | {"input_max_event_time": newest_event} for row in rows], schema)


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
