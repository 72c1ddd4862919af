"""Folders of Parquet parts that are added to and never changed: answers and vectors, by key.

    <folder>/part-<time>-<random>.parquet   rows; there whole or not at all
    <folder>/damaged/                       parts that cannot be read, kept for whoever wants to look
    <folder>/.merged.json                   which part the last compaction put in place of which

Any number of processes may add and look up at the same time, and one of them may compact: a lookup sees
every row that was there when it began.
"""

import errno
import json
import os
import secrets
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.partitions import sync

DAMAGED = "damaged"
MERGED = ".merged.json"


class Unreadable(Exception):
    """A part that is not what was written."""


def new_part(folder: Path) -> Path:
    """A name no part has: clocks may stand still or jump, so the time in it is for the eye only."""
    return folder / f"part-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(8)}.parquet"


def add_part(folder: Path, rows: pa.Table) -> Path:
    """Add one Parquet part to a folder: on the disk and whole when this returns, else not there at all."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)
    path = new_part(folder)
    staged = path.with_name(f".{path.name}")
    try:
        pq.write_table(rows, staged, compression="zstd", write_page_checksum=True)
        sync(staged)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)
    sync(folder)
    return path


def list_parts(folder: Path) -> list[Path]:
    """The parts of a folder by name, without those that a compaction has put another part in place of."""
    while True:
        before = _stamp(folder / MERGED)
        names = {path.name for path in folder.glob("part-*.parquet")}
        # A compaction in the middle of the listing may hide its part as well as those it removes.
        if _stamp(folder / MERGED) == before:
            break
    merged, sources = read_record(folder / MERGED)
    return [folder / name for name in sorted(names - set(sources) if merged in names else names)]


def read_record(path: Path) -> tuple[str, list[str]]:
    """The part a compaction made and those it was made from, by name; nothing where there is no record."""
    try:
        record = json.loads(path.read_text("utf-8"))
        return record["merged"], record["sources"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Without its record a merged part and what is left of its sources are parts like any other.
        return "", []


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def find_rows(
    folder: Path, schema: pa.Schema, columns: Sequence[str], wanted: Collection[str] | None
) -> Iterator[pa.Table]:
    """The rows whose key (the first column of `schema`) is among `wanted`, or all of them, a part at a time.

    A row may come twice. A part that cannot be read is named and set aside, and its rows are missing.
    """
    done: set[Path] = set()
    gone = True
    while gone:
        gone = False
        for part in [part for part in list_parts(folder) if part not in done]:
            done.add(part)
            try:
                tables = read_part(part, schema, columns, wanted)
            except FileNotFoundError:
                # Merged or set aside since it was listed: what stands in its place is in the next listing.
                gone = True
            except Unreadable as reason:
                set_aside(part, reason)
            else:
                yield from tables


def read_part(
    part: Path, schema: pa.Schema, columns: Sequence[str], wanted: Collection[str] | None = None
) -> list[pa.Table]:
    """The rows of one part with a wanted key, as tables of `columns`; Unreadable where anything is wrong."""
    expected = pa.schema([schema.field(name) for name in columns])
    try:
        # Only pyarrow verifies the checksums: DuckDB takes a flipped bit for text.
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            found = file.schema_arrow
            _check_schema(found, schema)
            present = set(found.names)
            stored = [name for name in dict.fromkeys([schema[0].name, *columns]) if name in present]
            groups = (_read_group(file, number, stored, wanted) for number in range(file.num_row_groups))
            return [_conform(rows, expected) for rows in groups if rows.num_rows]
    except OSError as error:
        # pyarrow says OSError without a number where the bytes make no sense.
        if error.errno not in (None, errno.EIO):
            raise
        raise Unreadable(_first_line(error)) from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise Unreadable(_first_line(error)) from None


def _read_group(
    file: pq.ParquetFile, number: int, columns: list[str], wanted: Collection[str] | None
) -> pa.Table:
    threads = file.metadata.num_rows > 10_000
    if wanted is None:
        return file.read_row_group(number, columns, use_threads=threads)
    keys = file.read_row_group(number, columns[:1], use_threads=threads)
    hits = [key in wanted for key in keys.column(0).to_pylist()]
    if not any(hits):
        return keys.slice(0, 0)
    rows = keys if len(columns) == 1 else file.read_row_group(number, columns, use_threads=threads)
    return rows.filter(pa.array(hits))


def _check_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    """Columns that may be null may be absent: parts written before they were thought of lack them.

    A part that lacks one and has another that nobody knows is damaged in its footer, which has no checksum.
    """
    if found.equals(wanted):
        return
    absent, unknown = set(wanted.names) - set(found.names), set(found.names) - set(wanted.names)
    if absent and unknown:
        raise Unreadable(f"it has no column {min(absent)}, but {min(unknown)}")
    for field in wanted:
        position = found.get_field_index(field.name)
        if position < 0 and not field.nullable:
            raise Unreadable(f"it has no column {field.name}")
        if position >= 0 and found.field(position).type != field.type:
            raise Unreadable(f"its column {field.name} is of type {found.field(position).type}")


def _conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    present = set(rows.column_names)
    columns = [
        rows[field.name] if field.name in present else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    for field, column in zip(schema, columns, strict=True):
        if column.null_count and not field.nullable:
            raise Unreadable(f"its column {field.name} has nulls")
    table = pa.table(columns, schema)
    table.validate(full=True)
    return table


def set_aside(part: Path, reason: Exception) -> None:
    """Put a damaged part where no reader looks and say so; another process may have been faster."""
    target = part.parent / DAMAGED / part.name
    try:
        target.parent.mkdir(exist_ok=True)
        os.rename(part, target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NightmillError(
            f"{part} is damaged ({reason}) and cannot be set aside ({error.strerror}): move it to {target}"
        ) from None
    print(
        f"nightmill: {part} is damaged ({reason}): set aside in {DAMAGED}/; what it held is computed again",
        file=sys.stderr,
        flush=True,
    )


def set_aside_damaged(folders: Iterable[Path], schema: pa.Schema) -> bool:
    """Read every part of some folders and set aside the damaged; whether any part went, by whosever hand."""
    went = False
    for folder in folders:
        before = list_parts(folder)
        for _ in find_rows(folder, schema, schema.names, None):
            pass
        went |= not set(before) <= set(list_parts(folder))
    return went


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
