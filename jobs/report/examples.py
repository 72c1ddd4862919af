"""A few users of a night: what they took, what the model makes of them, and what they are given."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import duckdb

from feature_store.partitions import Store
from feature_store.tables import TABLES

HISTORY = 8
LIST = 10


@dataclass(frozen=True)
class Item:
    """An item as the report shows it, with what the model calls it."""

    item_id: str
    title: str
    categories: list[str]
    tags: list[str]


@dataclass(frozen=True)
class Taken:
    """One event of a user's history."""

    item: Item
    event_time: datetime
    weight: float


@dataclass(frozen=True)
class Recommended:
    """One place of a user's list; reasons: what moved its score, in words, as far as the night said so."""

    item: Item
    rank: int
    score: float
    channels: list[str]
    explored: bool = False
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    """One user: newest history first, best recommendation first."""

    user_id: str
    events: int
    summary: str | None
    interests: list[str]
    history: list[Taken] = field(default_factory=list)
    recommended: list[Recommended] = field(default_factory=list)


def examples(store: Store, ds: date, count: int) -> list[Example]:
    """Users with a list as of ds, spread evenly from the least to the most active; profiled ones first."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in ("recommendations", "user_profiles", "items", "item_profiles", "interactions"):
            _view(connection, store, table, ds)
        _choose(connection, count)
        items = _items(connection)
        return [
            Example(
                user_id,
                events,
                summary,
                interests or [],
                [Taken(items[item], time, weight) for item, time, weight in _history(connection, user_id)],
                [Recommended(items[item], *rest) for item, *rest in _recommended(connection, user_id)],
            )
            for user_id, events, summary, interests in _users(connection)
        ]


def _view(connection: duckdb.DuckDBPyConnection, store: Store, table: str, ds: date) -> None:
    published = store.published(table, ds)
    whole = TABLES[table].kind == "event"
    partitions = store.partitions(table, ds) if whole else [published] if published else []
    files = [str(file) for partition in partitions for file in partition.files]
    schema = TABLES[table].schema
    if not files:
        connection.register(table, schema.empty_table())
        return
    rows = connection.read_parquet(files, union_by_name=True)
    # What an older Nightmill did not write is null.
    absent = [
        name for name in ("explored", "contributions") if name in schema.names and name not in rows.columns
    ]
    rows.project(", ".join(["*", *(f"NULL AS {name}" for name in absent)])).create_view(table)


def _choose(connection: duckdb.DuckDBPyConnection, count: int) -> None:
    """Make the table of chosen users: one from each of `count` equal groups by number of events."""
    connection.execute(
        """
        CREATE TABLE chosen AS
        WITH listed AS (SELECT DISTINCT user_id FROM recommendations),
             active AS (
                 SELECT user_id, count(*) AS events
                 FROM interactions SEMI JOIN listed USING (user_id) GROUP BY ALL
             ),
             known AS (SELECT *, user_id IN (SELECT user_id FROM user_profiles) AS profiled FROM active),
             grouped AS (SELECT *, ntile($count) OVER (ORDER BY events, user_id) AS place FROM known)
        SELECT user_id, events FROM grouped
        QUALIFY row_number() OVER (PARTITION BY place ORDER BY profiled DESC, hash(user_id)) = 1
        """,
        {"count": max(count, 1)},
    )
    if not count:
        connection.execute("DELETE FROM chosen")


def _users(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    query = """
        SELECT user_id, events, llm_summary, llm_interests
        FROM chosen LEFT JOIN user_profiles USING (user_id) ORDER BY events, user_id
    """
    return connection.execute(query).fetchall()


def _items(connection: duckdb.DuckDBPyConnection) -> dict[str, Item]:
    query = f"""
        WITH shown AS (
            SELECT item_id FROM recommendations SEMI JOIN chosen USING (user_id) WHERE rank <= {LIST}
            UNION SELECT item_id FROM interactions SEMI JOIN chosen USING (user_id)
        )
        SELECT item_id, coalesce(title, item_id), coalesce(categories, []), coalesce(llm_tags, [])
        FROM shown LEFT JOIN items USING (item_id) LEFT JOIN item_profiles USING (item_id)
    """
    return {row[0]: Item(*row) for row in connection.execute(query).fetchall()}


def _history(connection: duckdb.DuckDBPyConnection, user_id: str) -> list[Any]:
    # As text: DuckDB's Python values of a timestamp with time zone need a package that nothing else does.
    query = f"""
        SELECT item_id, strftime(event_time, '%Y-%m-%dT%H:%M:%S+00:00'), weight
        FROM interactions WHERE user_id = $user ORDER BY event_time DESC, item_id LIMIT {HISTORY}
    """
    rows = connection.execute(query, {"user": user_id}).fetchall()
    return [(item, datetime.fromisoformat(time), weight) for item, time, weight in rows]


def _recommended(connection: duckdb.DuckDBPyConnection, user_id: str) -> list[Any]:
    query = f"""
        SELECT item_id, rank, score, channels, coalesce(explored, false), coalesce(contributions, [])
        FROM recommendations
        WHERE user_id = $user AND rank <= {LIST} ORDER BY rank
    """
    return connection.execute(query, {"user": user_id}).fetchall()
