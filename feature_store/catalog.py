"""`catalog.duckdb`: a view for every published table, for anyone with a DuckDB of their own.

`<table>` is the newest published ds (all days of an event table), `<table>_all` every published ds; columns
that an older night lacks are null. `quarantine` holds the refused rows, `generations` the model's answers,
`manifests` what is said of each published run, `ledger` what every run paid. The views name files by absolute
path: where the data root was moved, `nightmill sql` (and the next publish) writes them anew.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from feature_store.contract import GENERATIONS_SCHEMA, LEDGER_SCHEMA, MANIFEST_SCHEMA, QUARANTINE_SCHEMA
from feature_store.partitions import MANIFEST, Store
from feature_store.parts import list_parts, set_aside_damaged
from feature_store.tables import TABLES

CATALOG = "catalog.duckdb"
T = TypeVar("T")


def rewrite(store: Store) -> Path:
    """Write the catalogue anew and put it in place of the old one."""
    path = store.root / CATALOG
    with store.lock("catalog"):
        without_damaged(store, lambda: _rewrite(store, path))
    return path


def _rewrite(store: Store, path: Path) -> None:
    staged = path.with_name(f".{CATALOG}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(staged)) as connection:
            for statement in views(store):
                connection.execute(statement)
            columns = connection.execute("DESCRIBE generations").fetchall()
            if len(columns) > len(GENERATIONS_SCHEMA) and set_aside_damaged(*_generations(store)):
                connection.execute(f"DROP VIEW generations; {generations_view(store)}")
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def without_damaged(store: Store, work: Callable[[], T]) -> T:
    """What `work` makes of the store with DuckDB; where a damaged part of generations stops it, without that.

    A part that a compaction removes while DuckDB reads stops it too, and the second time it is not there.
    """
    try:
        return work()
    except duckdb.Error as error:
        # DuckDB has no exception of its own for files that make no sense; many of them are bare errors.
        if type(error) not in (duckdb.Error, duckdb.IOException, duckdb.InvalidInputException):
            raise
        set_aside_damaged(*_generations(store))
        return work()


def _generations(store: Store) -> tuple[list[Path], pa.Schema]:
    return [folder for folder in store.root.glob("generations/*") if folder.is_dir()], GENERATIONS_SCHEMA


def views(store: Store) -> list[str]:
    """The statements that make every view."""
    statements = []
    quarantined: list[Path] = []
    manifests: list[Path] = []
    for name, table in TABLES.items():
        partitions = store.partitions(name)
        every = [file for partition in partitions for file in partition.files]
        newest = every if table.kind == "event" else (partitions[-1].files if partitions else [])
        statements.append(_view(name, newest, table.schema))
        statements.append(_view(f"{name}_all", every, table.schema))
        quarantined += [p.quarantine for p in partitions if p.quarantine is not None]
        manifests += [partition.path / MANIFEST for partition in partitions]
    statements.append(_view("quarantine", quarantined, QUARANTINE_SCHEMA))
    statements.append(_json_view("manifests", manifests, MANIFEST_SCHEMA))
    statements.append(_json_view("ledger", sorted(store.root.glob("ledger/ds=*/*.json")), LEDGER_SCHEMA))
    statements.append(generations_view(store))
    return statements


def generations_view(store: Store) -> str:
    """The statement that makes the view `generations`."""
    parts = [part for folder in _generations(store)[0] for part in list_parts(folder)]
    return _view("generations", parts, GENERATIONS_SCHEMA)


def _view(name: str, files: list[Path], schema: pa.Schema) -> str:
    """The columns of the contract, and what is in the files; what an older file lacks is null."""
    columns = ", ".join(f'NULL::{sql_type(field.type)} AS "{field.name}"' for field in schema)
    empty = f'CREATE VIEW "{name}" AS SELECT {columns} WHERE false'
    if not files:
        return empty
    # A data root below a folder such as env=prod is no reason for a column env.
    options = "union_by_name = true, hive_partitioning = false"
    return f"{empty} UNION ALL BY NAME SELECT * FROM read_parquet({_listed(files)}, {options})"


def _json_view(name: str, files: list[Path], schema: pa.Schema) -> str:
    """The fields of a schema out of files with one JSON object each."""
    if not files:
        return _view(name, [], schema)
    columns = ", ".join(f"'{field.name}': '{sql_type(field.type)}'" for field in schema)
    source = f"read_json({_listed(files)}, columns = {{{columns}}}, hive_partitioning = false)"
    return f'CREATE VIEW "{name}" AS SELECT * FROM {source}'


def _listed(files: list[Path]) -> str:
    return "[" + ", ".join("'" + str(file).replace("'", "''") + "'" for file in files) + "]"


def sql_type(type_: pa.DataType) -> str:
    """A column type in DuckDB's words."""
    if pa.types.is_list(type_):
        return sql_type(type_.value_type) + "[]"
    if pa.types.is_map(type_):
        return f"MAP({sql_type(type_.key_type)}, {sql_type(type_.item_type)})"
    if pa.types.is_struct(type_):
        return "STRUCT(" + ", ".join(f'"{field.name}" {sql_type(field.type)}' for field in type_) + ")"
    names = {"string": "VARCHAR", "bool": "BOOLEAN", "int64": "BIGINT", "double": "DOUBLE", "float": "FLOAT"}
    names |= {"date32[day]": "DATE", "timestamp[us, tz=UTC]": "TIMESTAMPTZ"}
    return names[str(type_)]
