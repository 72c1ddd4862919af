"""Opens a night to be judged: its lists, and the events before and after it, as tables of one DuckDB."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb

from feature_store.partitions import Partition
from feature_store.tables import TABLES
from jobs.night import end_of
from jobs.recommender.judged import Judged, Terms


@contextmanager
def judging(
    events: Sequence[Path], lists: Partition, candidates: Sequence[Path], items: Sequence[Path], terms: Terms
) -> Iterator[Judged]:
    """Put the lists and candidates of a night beside the events of the `horizon_days` after it."""
    start = end_of(lists.ds)
    stop = start + timedelta(days=terms.horizon_days)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _view(connection, "events", "interactions", events)
        _view(connection, "recommendations", "recommendations", lists.files)
        _view(connection, "candidates", "candidates", candidates)
        _view(connection, "catalogue", "items", items)
        # A view has no parameters.
        connection.execute(_PAST.format(start=start.isoformat()))
        connection.execute(_TAKEN, {"start": start, "stop": stop, "repeats": terms.repeats})
        for query in (_THINGS, _PEOPLE, _RELEVANT):
            connection.execute(query)
        yield Judged(connection, terms)


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: str, files: Sequence[Path]) -> None:
    """A view of the files; a channel that came after they were written has proposed nothing in them."""
    schema = TABLES[table].schema
    if not files:
        connection.register(name, schema.empty_table())
        return
    rows = connection.read_parquet([str(file) for file in files], union_by_name=True)
    absent = [field.name for field in schema if field.name not in rows.columns and field.nullable]
    rows.project(", ".join(["*", *(f"NULL::BIGINT AS {name}" for name in absent)])).create_view(name)


_PAST = "CREATE VIEW past AS SELECT user_id, item_id FROM events WHERE event_time < TIMESTAMPTZ '{start}'"
# What users with a list took in the horizon; never what they had taken before, unless repeats count.
_TAKEN = """
    CREATE TABLE taken AS
    SELECT user_id, item_id, max(event_time) AS event_time
    FROM events SEMI JOIN recommendations USING (user_id)
    ANTI JOIN (SELECT user_id, item_id FROM past WHERE NOT $repeats) AS seen USING (user_id, item_id)
    WHERE event_time >= $start AND event_time < $stop
    GROUP BY ALL
"""
_THINGS = """
    CREATE TABLE things AS
    WITH named AS (
        SELECT item_id FROM catalogue UNION SELECT item_id FROM taken UNION SELECT item_id FROM past
        UNION SELECT item_id FROM recommendations UNION SELECT item_id FROM candidates
    ), counted AS (
        SELECT item_id, count(*) AS events, count(DISTINCT user_id) AS takers FROM past GROUP BY item_id
    )
    SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS item, coalesce(events, 0) AS events,
           coalesce(takers, 0) AS takers, item_id IN (SELECT item_id FROM catalogue) AS listed
    FROM named LEFT JOIN counted USING (item_id)
"""
_PEOPLE = """
    CREATE TABLE people AS
    WITH counted AS (
        SELECT user_id, count(*) AS events FROM past SEMI JOIN taken USING (user_id) GROUP BY user_id
    )
    SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS person, coalesce(events, 0) AS events
    FROM (SELECT DISTINCT user_id FROM taken) LEFT JOIN counted USING (user_id)
"""
_RELEVANT = """
    CREATE TABLE relevant AS
    SELECT user_id, item_id, event_time, person, item, row_number() OVER (ORDER BY person, item) - 1 AS pair
    FROM taken JOIN people USING (user_id) JOIN things USING (item_id)
"""
