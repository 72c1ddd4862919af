"""One more night of build_features behind a long history and behind a short one.

The events of a day, the users and the items are as many in both; only the days before differ.
"""

import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from feature_store.catalog import sql_type
from feature_store.partitions import MANIFEST, Store
from feature_store.tables import TABLES
from infra.benchmarks.processes import result

LAST = date(2026, 6, 30)
EVENTS_A_DAY, USERS, ITEMS = 10_000, 20_000, 5_000

ITEM = {
    "item_id": "'item-' || i",
    "title": "'title'",
    "categories": "['all', 'category-' || i % 50]",
    "price": "(i % 997)::DOUBLE",
    "brand": "'brand-' || i % 300",
    "attributes": "'{}'",
    "listed": "true",
}
ROWS: dict[str, tuple[int, dict[str, str]]] = {
    "items": (ITEMS, ITEM),
    "item_profiles": (ITEMS, {"item_id": "'item-' || i", "llm_tags": "['tag-' || i % 20, 'tag-' || i % 7]"}),
    "user_profiles": (USERS, {"user_id": "'user-' || i", "llm_interests": "['tag-' || i % 20]"}),
}
EMPTY = "'0'"  # any type that the tables above leave out can be read from it


def write(root: Path, days: int) -> None:
    """Publish the inputs of the last two nights, behind so many days of events."""
    store = Store(root)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for number in range(days):
            ds = LAST - timedelta(days=number)
            event = {
                "user_id": f"'user-' || {_draw(2 * number, 2, USERS)}",
                "item_id": f"'item-' || {_draw(2 * number + 1, 3, ITEMS)}",
                "event_time": f"TIMESTAMPTZ '{ds} 00:00:00+00' + to_seconds(i * 86400 // {EVENTS_A_DAY})",
                "event_type": "'event'",
                "weight": "1.0::DOUBLE",
            }
            _publish(connection, store, "interactions", ds, EVENTS_A_DAY, event)
        for ds in (LAST - timedelta(days=1), LAST):
            for table, (rows, columns) in ROWS.items():
                _publish(connection, store, table, ds, rows, columns)


def _draw(seed: int, power: int, among: int) -> str:
    """SQL of a whole number below `among`, small ones more often, for a row i."""
    return f"floor(pow(hash(i * 4096 + {seed}) / 18446744073709551616.0, {power}) * {among})::INTEGER"


def _publish(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    table: str,
    ds: date,
    rows: int,
    columns: dict[str, str],
) -> None:
    end = f"TIMESTAMPTZ '{ds} 00:00:00+00' + to_days(1)"
    same = {"ds": f"DATE '{ds}'", "as_of": end, "generated_at": end, "known_at": end, "ingested_at": end}
    given = same | {"run_id": "'made'"} | columns
    chosen = ", ".join(
        f"CAST({given.get(f.name, 'NULL' if f.nullable else EMPTY)} AS {sql_type(f.type)}) AS {f.name}"
        for f in TABLES[table].schema
    )
    folder = store.run_folder(table, ds, "made")
    folder.mkdir(parents=True)
    connection.execute(f"COPY (SELECT {chosen} FROM range({rows}) AS t(i)) TO '{folder}/part-00000.parquet'")
    (folder / MANIFEST).write_text(json.dumps({"fingerprint": f"{table} {ds}"}))
    store.publish(table, ds, "made")


def ours(root: Path) -> dict[str, Any]:
    """Seconds of the last night; the one before it is there, and the session has started."""
    from feature_store import spark
    from feature_store.settings import load_settings
    from jobs.build_features import JOB
    from jobs.step import execute

    settings = load_settings().model_copy(update={"data_root": root})
    with spark.session(settings):
        execute(JOB, LAST - timedelta(days=1), settings)
        started = time.monotonic()
        execute(JOB, LAST, settings)
        return {"seconds": time.monotonic() - started}


if __name__ == "__main__":
    result(ours(Path(json.loads(sys.argv[2])["root"])))
