"""What users took after a night, and the lists of that night beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from feature_store.partitions import Partition
from feature_store.tables import CHANNELS, TABLES
from jobs.night import end_of

# Recall's merged list; also the stage of what is published when there is no ranker.
MERGED = "candidates"


@dataclass(frozen=True)
class Channel:
    """Candidates of one stage of recall: how many a user can have, and those each user went on to take."""

    size: int
    found: list[list[str]]


@dataclass(frozen=True)
class Judged:
    """The lists of one night beside what their users took afterwards.

    relevant: a set of items for each of n users; lists: stage -> n lists, best first, what was published
    first of all; recall: merged and by channel; covered: (stage, k) -> distinct items and users of all lists,
    judged or not; newest_event: None where nobody took anything new.
    """

    relevant: list[set[str]]
    lists: Mapping[str, list[list[str]]]
    recall: Mapping[str, Channel]
    covered: Mapping[tuple[str, int], tuple[int, int]]
    newest_event: datetime | None


def judge(
    events: Sequence[Path], lists: Partition, candidates: Partition, horizon_days: int, cutoffs: Sequence[int]
) -> Judged:
    """Put the lists and candidates of a night beside the events of the `horizon_days` after it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _view(connection, "events", "interactions", events)
        _view(connection, "recommendations", "recommendations", lists.files)
        _view(connection, "candidates", "candidates", candidates.files)
        newest = _find_relevant(connection, end_of(lists.ds), horizon_days)
        found = connection.execute("SELECT user_id, list(item_id) FROM relevant GROUP BY ALL ORDER BY ALL")
        relevant = {user: set(items) for user, items in found.fetchall()}
        stages, users = _stages(connection), list(relevant)
        return Judged(
            list(relevant.values()),
            {stage: _lists(connection, users, *at, max(cutoffs)) for stage, at in stages.items()},
            {stage: _recall(connection, users, stage) for stage in (MERGED, *CHANNELS)},
            {(stage, k): _covered(connection, *at, k) for stage, at in stages.items() for k in cutoffs},
            newest,
        )


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: str, files: Sequence[Path]) -> None:
    if files:
        connection.read_parquet([str(file) for file in files]).create_view(name)
    else:
        connection.register(name, TABLES[table].schema.empty_table())


def _find_relevant(
    connection: duckdb.DuckDBPyConnection, start: datetime, horizon_days: int
) -> datetime | None:
    """Make the table of what listed users took in the horizon and never before it; its newest event."""
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
    newest = connection.sql("SELECT max(event_time) AS newest FROM relevant").to_arrow_table()["newest"][0]
    time: datetime | None = newest.as_py()
    return time


def _stages(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, str]]:
    """Stage -> (view, rank column): what was published, merged recall, each channel alone."""
    ranked = connection.execute("SELECT count(*) FROM recommendations WHERE stage = 'ranker'").fetchall()
    published = {"ranker": ("recommendations", "rank"), MERGED: ("candidates", "rank")}
    if not ranked[0][0]:
        published = {MERGED: ("recommendations", "rank")}
    return published | {channel: ("candidates", f"{channel}_rank") for channel in CHANNELS}


def _lists(
    connection: duckdb.DuckDBPyConnection, users: Sequence[str], view: str, rank: str, longest: int
) -> list[list[str]]:
    query = f"""
        SELECT user_id, list(item_id ORDER BY {rank}, item_id) FROM {view}
        WHERE user_id IN (SELECT user_id FROM relevant) AND {rank} <= {longest:d} GROUP BY user_id
    """
    by_user = dict(connection.execute(query).fetchall())
    return [by_user.get(user, []) for user in users]


def _recall(connection: duckdb.DuckDBPyConnection, users: Sequence[str], stage: str) -> Channel:
    """Only candidates that were taken leave DuckDB: all of them would not fit into memory."""
    rank = "rank" if stage == MERGED else f"{stage}_rank"
    size = connection.execute(f"SELECT coalesce(max({rank}), 0) FROM candidates").fetchall()[0][0]
    query = f"""
        SELECT user_id, list(item_id ORDER BY {rank}, item_id)
        FROM candidates SEMI JOIN relevant USING (user_id, item_id)
        WHERE {rank} IS NOT NULL GROUP BY user_id
    """
    by_user = dict(connection.execute(query).fetchall())
    return Channel(size, [by_user.get(user, []) for user in users])


def _covered(connection: duckdb.DuckDBPyConnection, view: str, rank: str, k: int) -> tuple[int, int]:
    query = f"SELECT count(DISTINCT item_id), count(DISTINCT user_id) FROM {view} WHERE {rank} <= {k:d}"
    items, users = connection.execute(query).fetchall()[0]
    return items, users
