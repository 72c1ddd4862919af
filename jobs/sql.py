"""Ad-hoc DuckDB queries over everything that is published."""

import csv
import io
import json
from pathlib import Path

import duckdb

from feature_store.catalog import CATALOG, rewrite, without_damaged
from feature_store.errors import UsageError
from feature_store.partitions import Store


def query(store: Store, sql: str, output: str = "table") -> str:
    """Run one query against the catalogue and render it as `table`, `csv` or `json`."""
    with store.lease():
        # Generations are flushed between publishes, so the views are made afresh; it costs milliseconds.
        rewrite(store)
        try:
            return without_damaged(store, lambda: _query(store.root / CATALOG, sql, output))
        except duckdb.Error as error:
            raise UsageError(f"DuckDB: {str(error).splitlines()[0]}") from None


def _query(catalog: Path, sql: str, output: str) -> str:
    with duckdb.connect(str(catalog), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.sql(sql)
        if relation is None:
            return "done"
        if output == "table":
            return str(relation.limit(1000)).rstrip()
        return _text(relation.columns, relation.fetchall(), output)


def _text(columns: list[str], rows: list[tuple[object, ...]], output: str) -> str:
    if output == "json":
        return json.dumps(
            [dict(zip(columns, row, strict=True)) for row in rows], default=str, ensure_ascii=False
        )
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return sink.getvalue().rstrip("\n")
