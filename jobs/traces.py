"""Looks for traces of the future: marks, rows made from events too new, and rows that differ."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.partitions import Partition, read
from feature_store.tables import TABLES
from jobs.night import OF_A_RUN

SHOWN = 80  # characters of a value


@dataclass(frozen=True)
class Trace:
    """One place where a night knows what came after it."""

    where: str
    column: str
    row: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}, column {self.column}, row {self.row}: {self.problem}"


def marks_in(files: Iterable[Path], mark: str, root: Path) -> Iterator[Trace]:
    """Every value, and every line of a file that is no Parquet, with the mark in it."""
    for file in files:
        name = str(file.relative_to(root))
        if file.suffix == ".parquet":
            yield from _marks_in_rows(pq.read_table(file, partitioning=None), mark, _table_of(name), name)
        elif mark.encode() in (content := file.read_bytes()):
            lines = content.decode("utf-8", "replace").splitlines()
            numbers = [number for number, line in enumerate(lines, 1) if mark in line]
            for number in numbers[:1]:
                line = lines[number - 1]
                at = max(line.find(mark) - SHOWN // 2, 0)
                yield Trace(name, "text", f"line {number}", f"has the mark: {line[at : at + SHOWN]!r}")


def _table_of(name: str) -> str:
    parts = name.split("/")
    return parts[1] if parts[0] == "tables" else parts[0]


def _marks_in_rows(rows: pa.Table, mark: str, table: str, name: str) -> Iterator[Trace]:
    key = [k for k in (TABLES[table].key if table in TABLES else ()) if k in rows.column_names]
    for column in rows.column_names:
        found = _marked(rows[column].combine_chunks(), mark)
        if found is None or not pc.any(found).as_py():
            continue
        first = rows.filter(found).slice(0, 1).to_pylist()[0]
        identity = " ".join(f"{k}={first[k]}" for k in key) or "1"
        count = pc.sum(found).as_py()
        yield Trace(name, column, identity, f"{count:,} rows have the mark: {str(first[column])[:SHOWN]!r}")


def _marked(values: pa.Array, mark: str) -> pa.Array | None:
    """Which rows hold the mark, in a column of texts or of lists of them; None for other columns."""
    if pa.types.is_list(values.type) and pa.types.is_string(values.type.value_type):
        values = pc.binary_join(values, "\n")
    if not pa.types.is_string(values.type):
        return None
    return pc.fill_null(pc.match_substring(values, mark), False)


def too_new(partition: Partition) -> Iterator[Trace]:
    """Rows that were made from an event at or after their as_of; of an event table, those of a later day."""
    rows = read(partition.table, partition.files)
    if TABLES[partition.table].kind == "event":
        day = pc.cast(rows["event_time"], pa.date32())
        wrong, column = pc.greater(day, rows["ds"]), "event_time"
    else:
        column = "input_max_event_time"
        wrong = pc.fill_null(pc.greater_equal(rows[column], rows["as_of"]), False)
    if pc.any(wrong).as_py():
        first = rows.filter(wrong).slice(0, 1).to_pylist()[0]
        identity = " ".join(f"{key}={first[key]}" for key in TABLES[partition.table].key)
        yield Trace(
            partition.table, column, identity, f"is {first[column]}, not before the end of {first['ds']}"
        )


def differences(with_future: Partition, without: Partition) -> Iterator[Trace]:
    """The first value of each column that is another one behind a future."""
    table = TABLES[with_future.table]
    ours, theirs = (_comparable(partition) for partition in (with_future, without))
    if ours.num_rows != theirs.num_rows:
        problem = f"{ours.num_rows:,} rows with a future, {theirs.num_rows:,} without"
        yield Trace(table.name, "(all)", "(all)", problem)
        return
    for column in ours.column_names:
        mine, other = ours[column].to_pylist(), theirs[column].to_pylist()
        row = next((n for n, pair in enumerate(zip(mine, other, strict=True)) if _unlike(*pair)), None)
        if row is not None:
            identity = " ".join(f"{key}={ours[key][row].as_py()}" for key in table.key)
            problem = (
                f"is {str(mine[row])[:SHOWN]} with what comes later and {str(other[row])[:SHOWN]} without"
            )
            yield Trace(table.name, column, identity, problem)


def _comparable(partition: Partition) -> pa.Table:
    rows = read(partition.table, partition.files)
    rows = rows.sort_by([(key, "ascending") for key in TABLES[partition.table].key])
    return rows.drop_columns([name for name in OF_A_RUN if name in rows.column_names])


def _unlike(one: Any, other: Any) -> bool:
    return bool(one != other and json.dumps(one, default=str) != json.dumps(other, default=str))
