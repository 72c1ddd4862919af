"""Users' rows out of every run: a run that is published is followed by one without them, others go whole.

The new run says of the other users what the old one said, under the same fingerprint, so that no job has a
reason to run again. Its rows passed the gate when they were published; what is checked here is that no other
row is missing and none of theirs is left.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.partitions import MANIFEST, QUARANTINE, Partition, Store
from feature_store.tables import TABLES
from jobs.forgetting.people import People, user_column
from jobs.forgetting.summary import Summary
from jobs.ingest import JOB as INGEST
from jobs.night import CONTENT_HASH, content_hash

# Rows in memory at once.
BATCH = 65_536
FORGOTTEN = "forgotten"
NOTE = "rows of users who were forgotten are no longer in it"
Mask = Callable[[pa.Table], pa.ChunkedArray]


@dataclass(frozen=True)
class Found:
    """How much of a run is theirs: rows of the table, and refused ones."""

    rows: int = 0
    refused: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self.refused)


def republish(store: Store, people: People, run_id: str, summary: Summary) -> None:
    """Publish every partition that has rows of theirs anew without these, and remove the run it had."""
    for table in TABLES:
        partitions = store.partitions(table)
        for partition, found in _holding(partitions, people):
            summary.add(f"{table}, rows in published nights", found.rows, 1)
            summary.add(f"{table}, refused rows", found.refused, 1)
            if not summary.dry_run:
                _replace(store, partition, people, run_id)
                shutil.rmtree(partition.path)


def with_rows(store: Store, table: str, people: People) -> list[Partition]:
    """The partitions of a table that have rows of theirs, or had some of users who were forgotten before."""
    partitions = store.partitions(table)
    now = _rows_by_run(partitions, people)
    return [p for p in partitions if p.path in now or (p.manifest.get(FORGOTTEN) or {}).get("rows")]


def _holding(partitions: Sequence[Partition], people: People) -> Iterator[tuple[Partition, Found]]:
    """The partitions with something of theirs."""
    rows = _rows_by_run(partitions, people)
    for partition in partitions:
        refused = _refused(partition.path / QUARANTINE, people)
        if found := Found(rows.get(partition.path, 0), refused):
            yield partition, found


def _rows_by_run(partitions: Sequence[Partition], people: People) -> dict[Path, int]:
    """How many of their rows each published run of a table has, where it has any."""
    files = [file for partition in partitions for file in partition.files]
    if not files or user_column(TABLES[partitions[0].table]) is None:
        return {}
    try:
        return _count(partitions[0].table, files, people)
    except duckdb.Error as error:
        raise NightmillError(
            f"a published file of {partitions[0].table} cannot be read ({str(error).splitlines()[0]}): run "
            f"`nightmill {TABLES[partitions[0].table].job} --ds D --reprocess`, and this command again"
        ) from None


def _count(table: str, files: Sequence[Path], people: People) -> dict[Path, int]:
    """Their rows in files of one table, by the folder of the run."""
    column = user_column(TABLES[table])
    theirs = f"{column} IN (SELECT unnest($ids::VARCHAR[]))"
    if column == "entity_id":
        theirs += " AND entity = 'user'"
    query = f"""
        SELECT filename, count(*) FROM read_parquet($files, filename = true, union_by_name = true,
            hive_partitioning = false)
        WHERE {theirs} GROUP BY ALL
    """
    with duckdb.connect() as connection:
        values = {"files": [str(file) for file in files], "ids": sorted(people.ids)}
        counted = connection.execute(query, values).fetchall()
    found: dict[Path, int] = {}
    for name, count in counted:
        found[Path(name).parent] = found.get(Path(name).parent, 0) + count
    return found


def _refused(path: Path, people: People) -> int:
    if not path.exists():
        return 0
    return int(pc.sum(people.refused(pq.read_table(path, partitioning=None))).as_py() or 0)


def _replace(store: Store, partition: Partition, people: People, run_id: str) -> None:
    """Stage what is left of a run as a run of its own, and publish that."""
    old, new = partition.path, store.run_folder(partition.table, partition.ds, run_id)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    removed = 0
    for file in partition.files:
        removed += without(file, new / file.name, lambda rows: people.rows(partition.table, rows), run_id)
    refused = old / QUARANTINE
    if refused.exists():
        without(refused, new / QUARANTINE, people.refused, run_id)
    for file in old.iterdir():
        if not (new / file.name).exists() and file.is_file():
            shutil.copy2(file, new / file.name)
    (new / MANIFEST).write_text(json.dumps(_manifest(partition, new, run_id, removed)), "utf-8")
    store.publish(partition.table, partition.ds, run_id)


def without(source: Path, target: Path, theirs: Mask, run_id: str) -> int:
    """Write the rows of a Parquet file that are not theirs, in their order, as rows of a run; how many are.

    NightmillError where what was written is not what was meant.
    """
    removed = kept = 0
    with pq.ParquetFile(source) as file:
        with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as written:
            for batch in file.iter_batches(BATCH):
                rows = pa.Table.from_batches([batch])
                gone = theirs(rows)
                removed += int(pc.sum(gone).as_py() or 0)
                rows = _of_run(rows.filter(pc.invert(gone)), run_id)
                kept += rows.num_rows
                written.write_table(rows)
        expected = file.metadata.num_rows - removed
    with pq.ParquetFile(target) as file:
        left = sum(
            int(pc.sum(theirs(pa.Table.from_batches([batch]))).as_py() or 0)
            for batch in file.iter_batches(BATCH)
        )
        if left or not kept == expected == file.metadata.num_rows:
            raise NightmillError(f"{target} is not {source} without some users; nothing was published of it")
    return removed


def _of_run(rows: pa.Table, run_id: str) -> pa.Table:
    """The rows as those of a run, as a replay does: they are found beside its manifest."""
    if "run_id" not in rows.column_names:
        return rows
    position = rows.column_names.index("run_id")
    column = pa.repeat(pa.scalar(run_id, rows.schema.field(position).type), rows.num_rows)
    return rows.set_column(position, rows.schema.field(position), column)


def _manifest(partition: Partition, new: Path, run_id: str, removed: int) -> dict[str, Any]:
    """The manifest of the run that was, with what is no longer true of it made true."""
    old = partition.manifest
    before = old.get(FORGOTTEN) or {"rows": 0}
    files = sorted(new.glob("part-*.parquet"))
    rows = {
        "written": sum(pq.read_metadata(file).num_rows for file in files),
        "quarantined": _by_reason(new / QUARANTINE),
    }
    forgotten = {"rows": before["rows"] + removed, "at": datetime.now(UTC).isoformat()}
    notes = [*(note for note in old.get("notes", []) if note != NOTE), NOTE]
    manifest = {**old, "run_id": run_id, "rows": rows, FORGOTTEN: forgotten, "notes": notes}
    if partition.table in INGEST.outputs:
        manifest[CONTENT_HASH] = content_hash(pq.read_table(files, partitioning=None))
    return manifest


def _by_reason(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    counted = pc.value_counts(pq.read_table(path, columns=["reason"], partitioning=None)["reason"])
    return {row["values"]: row["counts"] for row in counted.to_pylist()}


def remove_others(store: Store, people: People, summary: Summary) -> None:
    """Remove runs with something of theirs that no pointer names: superseded ones and unfinished ones."""
    for folder in sorted(store.tables.glob("*/ds=*")):
        table, ds = folder.parent.name, date.fromisoformat(folder.name[3:])
        published = store.published_here(table, ds)
        for run in sorted(folder.glob("runs/*")):
            if published is not None and run.name == published.run_id:
                continue
            found = holds(table, run, people)
            if found is None:
                summary.clear("unfinished runs that cannot be read")
            summary.add("superseded or unfinished runs", int(found or False))
            if found is not False and not summary.dry_run:
                shutil.rmtree(run)


def holds(table: str, run: Path, people: People) -> bool | None:
    """Whether a run has something of theirs; None where nobody can tell, for a file cannot be read."""
    try:
        return any(_file_holds(table, file, people) for file in _parquet(run))
    except (duckdb.Error, pa.ArrowException, OSError, KeyError):
        return None


def _parquet(run: Path) -> Iterable[Path]:
    # Spark stages in folders of its own.
    return [f for f in run.rglob("*") if f.is_file() and ".parquet" in f.name and f.suffix != ".crc"]


def _file_holds(table: str, file: Path, people: People) -> bool:
    if file.name == QUARANTINE:
        return bool(_refused(file, people))
    known = table in TABLES and user_column(TABLES[table]) is not None
    return known and bool(_count(table, [file], people))
