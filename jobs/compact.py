"""compact: many small parts of generations and vectors -> few large ones, sorted by key.

A batch of parts is read, merged, written beside them, synced and read back before anything is removed. The
record of it (`.merging.json`, then `.merged.json`) lets readers and the next compaction tell the merged part
from its sources, so that the process may die at any moment:

    part staged -> .merging.json -> part in place -> .merged.json -> sources removed -> sources struck off
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.catalog import rewrite
from feature_store.contract import GENERATIONS_SCHEMA
from feature_store.errors import NightmillError
from feature_store.partitions import Store, sync, write_atomically
from feature_store.parts import MERGED, Unreadable, list_parts, new_part, read_part, read_record, set_aside
from jobs.llm.vectors import SCHEMA as VECTORS_SCHEMA
from jobs.progress import Progress

MERGING = ".merging.json"
# As Parquet encodes it, uncompressed; in memory a batch takes some six times as much. Half of it is large.
BATCH_BYTES = 128 * 2**20
GROUP_BYTES = 16 * 2**20
TOGETHER = 256
ABANDONED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Kind:
    """One kind of folder: its schema, and the columns that make two rows the same row.

    order: how rows are sorted. Of rows that agree in the first `same` of these columns the first is kept.
    """

    name: str
    schema: pa.Schema
    order: tuple[str, ...]
    same: int


# Two answers to one key were paid for twice and both stay; a text has one vector.
KINDS = (
    Kind("generations", GENERATIONS_SCHEMA, ("key", "created_at", "text"), 3),
    Kind("vectors", VECTORS_SCHEMA, ("text_hash", "embedding"), 1),
)


@dataclass
class Summary:
    """What a compaction did."""

    sources: int = 0
    merged: int = 0
    rows: int = 0
    repeated: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.merged:
            return "nothing to compact"
        dropped = f", {self.repeated:,} that were there twice dropped" if self.repeated else ""
        return (
            f"compacted {self.sources:,} parts into {self.merged:,} in {self.seconds:.1f} s: "
            f"{self.rows:,} rows{dropped}"
        )


def compact(store: Store) -> Summary:
    """Merge the small parts under one data root; jobs may ask and answer meanwhile."""
    started, summary = time.monotonic(), Summary()
    with store.lock("compact", "a compaction"):
        plans = [
            (kind, batch)
            for kind in KINDS
            for folder in sorted((store.root / kind.name).glob("*/"))
            for batch in _batches(folder, kind)
        ]
        with Progress(sum(len(batch) for _, batch in plans), "compact", "part") as progress:
            for kind, batch in plans:
                _merge(batch, kind, summary)
                progress.update(len(batch))
        if summary.merged:
            rewrite(store)
    summary.seconds = time.monotonic() - started
    return summary


def _batches(folder: Path, kind: Kind) -> Iterator[list[Path]]:
    """What to merge with what: first what a compaction that died left, then small parts up to a batch."""
    _clear(folder)
    leftover = _unfinished(folder)
    if leftover:
        yield leftover
    batch: list[Path] = []
    total = 0
    for part in list_parts(folder):
        size = _uncompressed(part)
        if size is None or size >= BATCH_BYTES / 2 or part in leftover:
            continue
        if total + size > BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(part)
        total += size
    if len(batch) > 1:
        yield batch


def _clear(folder: Path) -> None:
    """Remove what dead processes staged: a compaction's at once, a shard's when it is a day old."""
    for pattern in (".part-*.merging", "..merg*.json.*"):
        for path in folder.glob(pattern):
            path.unlink()
    for path in folder.glob(".part-*.parquet"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
        except FileNotFoundError:
            pass


def _unfinished(folder: Path) -> list[Path]:
    """The part of a compaction that died before all its sources were removed, and those sources."""
    merged, _ = read_record(folder / MERGING)
    if merged and (folder / merged).exists():
        os.replace(folder / MERGING, folder / MERGED)
    else:
        (folder / MERGING).unlink(missing_ok=True)
    sync(folder)
    merged, sources = read_record(folder / MERGED)
    left = [folder / name for name in sources if (folder / name).exists()]
    return [folder / merged, *left] if left and (folder / merged).exists() else []


def _uncompressed(part: Path) -> int | None:
    """Bytes of a part in memory; None for a part that went, or is damaged and set aside when it is read."""
    try:
        footer = pq.read_metadata(part)
    except (pa.ArrowException, OSError):
        return 0 if part.exists() else None
    return sum(footer.row_group(n).total_byte_size for n in range(footer.num_row_groups))


def _merge(batch: Sequence[Path], kind: Kind, summary: Summary) -> None:
    sources, rows = _read(batch, kind)
    if len(sources) < 2:
        return
    keys = rows[kind.order[0]]
    rows = _distinct(_sorted(rows, kind), kind)
    path = new_part(batch[0].parent)
    staged = path.with_name(f".{path.name}.merging")
    try:
        _write(rows, staged)
        _verify(staged, rows, keys, kind)
        _put_in_place(staged, path, sources)
    finally:
        staged.unlink(missing_ok=True)
    summary.sources += len(sources)
    summary.merged += 1
    summary.rows += rows.num_rows
    summary.repeated += len(keys) - rows.num_rows


def _read(batch: Sequence[Path], kind: Kind) -> tuple[list[Path], pa.Table]:
    """The parts of a batch that are whole, and their rows."""
    sources: list[Path] = []
    tables, small = [kind.schema.empty_table()], []
    for part in batch:
        try:
            small += read_part(part, kind.schema, kind.schema.names)
        except FileNotFoundError:
            continue
        except Unreadable as reason:
            set_aside(part, reason)
            continue
        sources.append(part)
        # A table of 64 rows takes many times the memory of its rows.
        if len(small) >= TOGETHER:
            tables, small = [*tables, pa.concat_tables(small).combine_chunks()], []
    return sources, pa.concat_tables([*tables, *small]).combine_chunks()


def _sorted(rows: pa.Table, kind: Kind) -> pa.Table:
    columns = [rows[name].combine_chunks() for name in kind.order]
    keys = [_as_bytes(column) if pa.types.is_list(column.type) else column for column in columns]
    by = pa.table(keys, list(kind.order))
    return rows.take(pc.sort_indices(by, [(name, "ascending") for name in kind.order]))


def _as_bytes(vectors: pa.ListArray) -> pa.Array:
    """Lists of float32 as their bytes: Arrow does not sort lists."""
    offsets = pa.py_buffer(np.asarray(vectors.offsets).astype(np.int64) * 4)
    values = pa.py_buffer(np.ascontiguousarray(vectors.values.to_numpy(zero_copy_only=False)))
    return pa.Array.from_buffers(pa.large_binary(), len(vectors), [None, offsets, values])


def _distinct(rows: pa.Table, kind: Kind) -> pa.Table:
    """Sorted rows, each once: what a compaction that died left twice is dropped."""
    if rows.num_rows < 2:
        return rows
    new = pa.array([False] * (rows.num_rows - 1))
    for name in kind.order[: kind.same]:
        column = rows[name].combine_chunks()
        new = pc.or_(new, pc.not_equal(column[1:], column[:-1]))
    new = pa.concat_arrays([pa.array([True]), new])
    return rows if new.true_count == rows.num_rows else rows.filter(new)


def _write(rows: pa.Table, staged: Path) -> None:
    per_group = max(1, min(65_536, rows.num_rows * GROUP_BYTES // max(rows.nbytes, 1)))
    pq.write_table(rows, staged, compression="zstd", write_page_checksum=True, row_group_size=per_group)
    sync(staged)


def _verify(staged: Path, rows: pa.Table, keys: pa.ChunkedArray, kind: Kind) -> None:
    """Read back what was written: every page by its checksum, every row, and every key of every source."""
    same = list(kind.order[: kind.same])
    complete = pc.all(pc.is_in(keys, value_set=rows[same[0]].combine_chunks())).as_py()
    if complete is False or _rows_read_back(staged, rows.select(same)) != rows.num_rows:
        raise NightmillError(
            f"{staged.parent} was not compacted: what was written cannot be read back and nothing was "
            "removed; check the disk and run it again"
        )


def _rows_read_back(staged: Path, rows: pa.Table) -> int:
    """How many rows are as expected, up to the first row group that is not; -1 where it cannot be read."""
    read = 0
    try:
        with pq.ParquetFile(staged, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                group = file.read_row_group(number).select(rows.column_names)
                if not group.equals(rows.slice(read, group.num_rows)):
                    break
                read += group.num_rows
    except (pa.ArrowException, OSError):
        return -1
    return read


def _put_in_place(staged: Path, path: Path, sources: Sequence[Path]) -> None:
    folder, names = path.parent, [source.name for source in sources]
    write_atomically(folder / MERGING, json.dumps({"merged": path.name, "sources": names}))
    os.replace(staged, path)
    sync(folder)
    os.replace(folder / MERGING, folder / MERGED)
    sync(folder)
    for source in sources:
        source.unlink(missing_ok=True)
    sync(folder)
    write_atomically(folder / MERGED, json.dumps({"merged": path.name, "sources": []}))
