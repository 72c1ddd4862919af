"""`catalog.duckdb`: a view for every published table, for anyone with a DuckDB of their own.

`<table>` is the newest published ds (all days of an event table), `<table>_all` every published ds.
"""

import os
from pathlib import Path

import duckdb
import pyarrow as pa

from feature_store.contract import QUARANTINE_SCHEMA
from feature_store.partitions import Store
from feature_store.tables import TABLES

CATALOG = "catalog.duckdb"
GENERATIONS_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("prompt_name", pa.string()),
        ("prompt_version", pa.string()),
        ("model_id", pa.string()),
        ("output_tokens", pa.int64()),
    ]
)


def rewrite(store: Store) -> Path:
    """Write the catalogue anew and put it in place of the old one."""
    path = store.root / CATALOG
    with store.lock("catalog"):
        staged = path.with_name(f".{CATALOG}.{os.getpid()}")
        staged.unlink(missing_ok=True)
        try:
            with duckdb.connect(str(staged)) as connection:
                for statement in views(store):
                    connection.execute(statement)
            os.replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)
    return path


def views(store: Store) -> list[str]:
    """The statements that make every view."""
    statements = []
    quarantined: list[Path] = []
    for name, table in TABLES.items():
        partitions = store.partitions(name)
        every = [file for partition in partitions for file in partition.files]
        newest = every if table.kind == "event" else (partitions[-1].files if partitions else [])
        statements.append(_view(name, newest, table.schema))
        statements.append(_view(f"{name}_all", every, table.schema))
        quarantined += [p.quarantine for p in partitions if p.quarantine is not None]
    statements.append(_view("quarantine", quarantined, QUARANTINE_SCHEMA))
    generations = sorted((store.root / "generations").glob("*/part-*.parquet"))
    statements.append(_view("generations", generations, GENERATIONS_SCHEMA))
    return statements


def _view(name: str, files: list[Path], schema: pa.Schema) -> str:
    if files:
        listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
        return f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{listed}], union_by_name = true)'
    columns = ", ".join(f'NULL::{_sql_type(field.type)} AS "{field.name}"' for field in schema)
    return f'CREATE VIEW "{name}" AS SELECT {columns} WHERE false'


def _sql_type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return _sql_type(type_.value_type) + "[]"
    names = {"string": "VARCHAR", "bool": "BOOLEAN", "int64": "BIGINT", "double": "DOUBLE", "float": "FLOAT"}
    names |= {"date32[day]": "DATE", "timestamp[us, tz=UTC]": "TIMESTAMPTZ"}
    return names[str(type_)]
