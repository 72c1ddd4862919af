"""What users did before a night's end, as the jobs that describe people and items read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb


@dataclass(frozen=True)
class History:
    """The last items a user took and liked, oldest first, and the user's newest event."""

    user_id: str
    item_ids: tuple[str, ...]
    newest: datetime


# An event speaks for its item when its weight is at least the user's own mean: a rating above what this
# user usually gives, or any event where all weigh the same.
RECENT = """
    WITH events AS (
        SELECT user_id, item_id, event_time, weight,
               avg(weight) OVER (PARTITION BY user_id) AS usual,
               max(event_time) OVER (PARTITION BY user_id) AS newest
        FROM read_parquet($files) WHERE event_time < $as_of
    ), liked AS (
        SELECT user_id, item_id, max(event_time) AS event_time, max(newest) AS newest
        FROM events WHERE weight >= usual GROUP BY user_id, item_id
    ), latest AS (
        SELECT * FROM liked
        QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY event_time DESC, item_id) <= $last
    )
    SELECT user_id, list(item_id ORDER BY event_time, item_id) AS item_ids, max(newest) AS newest FROM latest
    GROUP BY user_id ORDER BY max(newest) DESC, user_id
"""


def recent_items(files: Sequence[Path], as_of: datetime, last: int) -> list[History]:
    """The last `last` liked items of every user with an event before `as_of`, most recently active first."""
    rows = _query(RECENT, files, as_of, last=last)
    return [History(row["user_id"], tuple(row["item_ids"]), row["newest"]) for row in rows]


def event_counts(files: Sequence[Path], as_of: datetime) -> dict[str, int]:
    """Events on each item before `as_of`; an item without any is not there."""
    query = (
        "SELECT item_id, count(*) AS n FROM read_parquet($files) WHERE event_time < $as_of GROUP BY item_id"
    )
    return {row["item_id"]: row["n"] for row in _query(query, files, as_of)}


def taken_items(files: Sequence[Path], as_of: datetime, users: Sequence[str]) -> dict[str, set[str]]:
    """Every item each of these users has an event on before `as_of`, liked or not."""
    query = """
        SELECT user_id, list(DISTINCT item_id) AS item_ids FROM read_parquet($files)
        WHERE event_time < $as_of AND user_id IN (SELECT unnest($users::VARCHAR[])) GROUP BY user_id
    """
    found = {user: set[str]() for user in users}
    return found | {r["user_id"]: set(r["item_ids"]) for r in _query(query, files, as_of, users=list(users))}


def users_with_few(files: Sequence[Path], as_of: datetime, most: int) -> set[str]:
    """Users with no more than `most` events before `as_of`, and at least one."""
    query = """
        SELECT user_id FROM read_parquet($files) WHERE event_time < $as_of
        GROUP BY user_id HAVING count(*) <= $most
    """
    return {row["user_id"] for row in _query(query, files, as_of, most=most)}


def _query(query: str, files: Sequence[Path], as_of: datetime, **values: Any) -> list[dict[str, Any]]:
    if not files:
        return []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        parameters = {"files": [str(file) for file in files], "as_of": as_of, **values}
        # through Arrow: DuckDB itself makes a datetime only with the help of pytz
        rows: list[dict[str, Any]] = connection.sql(query, params=parameters).to_arrow_table().to_pylist()
        return rows


def cold_items(item_ids: Sequence[str], counts: dict[str, int], max_events: int, limit: int) -> list[str]:
    """At most `limit` items with no more than `max_events` events.

    The order is by hash of the id: the same items night after night, so that what was asked about them
    is not asked anew.
    """
    cold = [item for item in item_ids if counts.get(item, 0) <= max_events]
    return sorted(cold, key=lambda item: sha256(item.encode()).digest())[:limit]
