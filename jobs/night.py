"""What a job sees of the world: its inputs as of one ds, and the place where it stages its outputs."""

import hashlib
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.contract import QUARANTINE_SCHEMA, REFUSALS, TIME
from feature_store.errors import NightmillError
from feature_store.locations import shown
from feature_store.partitions import QUARANTINE, Partition, Store, read
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.llm.characters import one_line
from jobs.progress import Progress

# Columns that tell one run from another that says the same.
OF_A_RUN = ("run_id", "generated_at", "known_at", "ingested_at")
# In a manifest: the hash of its rows, where they are no longer those of the fingerprint (jobs/forget.py).
CONTENT_HASH = "content_hash"
# A night that is run later than this after its as_of is a backfill, not a night that really ran.
ACTUAL_WITHIN = timedelta(hours=36)


def end_of(ds: date) -> datetime:
    """The `as_of` of a logical date: the end of that day, UTC."""
    return datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(days=1)


class Night:
    """One execution of one job for one ds."""

    def __init__(
        self,
        ds: date,
        settings: Settings,
        store: Store,
        inputs: Mapping[str, list[Partition]],
        run_id: str,
        shard: tuple[int, int] | None = None,
        reprocess: bool = False,
        fresh: bool = False,
    ) -> None:
        self.ds, self.settings, self.store, self.inputs = ds, settings, store, inputs
        self.run_id, self.shard, self.reprocess, self.fresh = run_id, shard, reprocess, fresh
        self.as_of = end_of(ds)
        self.started_at = datetime.now(UTC)
        self.staged: dict[tuple[str, date], int] = {}
        self.content_hashes: dict[tuple[str, date], str] = {}
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.provenance: dict[str, Any] = {}
        self.timings: dict[str, float] = {}
        # Per output, against the partition before it; None where that was not compared.
        self.drift: dict[str, dict[str, Any] | None] = {}
        # Why some rows are still to be asked about, in a night whose token budget was too small.
        self.incomplete = ""
        # A replay asks about these rows alone and takes the others from the partition it replaces.
        self.only: frozenset[str] | None = None
        self.replayed: Partition | None = None
        self._refused: list[dict[str, Any]] = []

    # -- reading ---------------------------------------------------------------------------------

    def files(self, table: str) -> list[Path]:
        """Parquet files of an input: the partition of ds, or for an event table all days up to ds."""
        return [file for partition in self.inputs[table] for file in partition.files]

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """An input as one Arrow table."""
        return read(table, self.files(table), columns)

    def earlier(self, table: str) -> list[Partition]:
        """The published partitions of nights before this one, oldest first."""
        return self.inputs[f"earlier {table}"]

    # -- time ------------------------------------------------------------------------------------

    @property
    def time_mode(self) -> str:
        """`actual` for a night that really ran, `simulated` for a backfill."""
        return self._time_mode(self.as_of)

    @property
    def known_at(self) -> datetime:
        """From when the rows of this run may be used for a prediction."""
        return self._known_at(self.as_of)

    def _time_mode(self, as_of: datetime) -> str:
        mode = self.settings.time.mode
        if mode != "auto":
            return mode
        return "actual" if self.started_at - as_of < ACTUAL_WITHIN else "simulated"

    def _known_at(self, as_of: datetime) -> datetime:
        if self._time_mode(as_of) == "actual":
            return self.started_at
        return as_of + timedelta(hours=self.settings.time.publication_delay_hours)

    def provenance_values(self) -> dict[str, Any]:
        """The columns every row carries, but for input_max_event_time, which the job knows."""
        return {
            "ds": self.ds,
            "as_of": self.as_of,
            "generated_at": self.started_at,
            "known_at": self.known_at,
            "run_id": self.run_id,
        }

    # -- writing ---------------------------------------------------------------------------------

    def stage(self, table: str, day: date | None = None) -> Path:
        """The run folder of an output, made on first use; nothing in it is visible before publishing."""
        day = day or self.ds
        self.staged.setdefault((table, day), 0)
        folder = self.store.run_folder(table, day, self.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write(self, table: str, rows: pa.Table, day: date | None = None) -> None:
        """Stage the rows of an output, in key order and with the contract's schema.

        Provenance columns are added; `input_max_event_time` must be there, null or before `as_of`.
        """
        rows = self.conform(table, rows, day)
        folder = self.stage(table, day)
        pq.write_table(rows, folder / "part-00000.parquet", compression="zstd")
        self.staged[table, day or self.ds] = rows.num_rows
        self.content_hashes[table, day or self.ds] = content_hash(rows)

    def conform(self, table: str, rows: pa.Table, day: date | None = None) -> pa.Table:
        """Rows as `write` stages them."""
        contract = TABLES[table]
        if contract.kind == "event":
            arrival = {"ds": day or self.ds, "ingested_at": self._known_at(end_of(day or self.ds))}
            rows = _set_columns(rows, arrival, contract.schema)
        else:
            rows = _set_columns(rows, self.provenance_values(), contract.schema)
            self._refuse_future(table, rows)
        absent = [name for name in contract.schema.names if name not in rows.column_names]
        if absent:
            raise NightmillError(f"{table} for {self.ds} lacks columns {absent}; it has {rows.column_names}")
        # A null where there may be none is for the gate to refuse: it says which rows.
        nullable = pa.schema([field.with_nullable(True) for field in contract.schema])
        rows = rows.select(nullable.names).cast(nullable)
        if self.replayed is not None:
            rows = pa.concat_tables([rows, self._untouched(table, nullable)])
        return rows.sort_by([(key, "ascending") for key in contract.key])

    def _untouched(self, table: str, schema: pa.Schema) -> pa.Table:
        """The rows of the partition a replay replaces that it did not ask about; only run_id is new."""
        assert self.replayed is not None
        rows = _set_columns(read(table, self.replayed.files), {"run_id": self.run_id}, schema).cast(schema)
        (key,) = TABLES[table].key
        kept = rows.filter(pc.invert(pc.is_in(rows[key], pa.array(sorted(self.only or ()), pa.string()))))
        self.count(selected=kept.num_rows, carried_forward=kept.num_rows)
        return kept

    def wrote(self, table: str, rows: int) -> None:
        """Say how many rows a job put into `stage(table)` itself (Spark writes its own files)."""
        self.staged[table, self.ds] = rows

    def _refuse_future(self, table: str, rows: pa.Table) -> None:
        newest = (
            pc.max(rows["input_max_event_time"]).as_py()
            if "input_max_event_time" in rows.column_names
            else None
        )
        if newest is not None and newest >= self.as_of:
            raise NightmillError(
                f"{table} for {self.ds} was made from an event at {newest}, not before {self.as_of}"
            )

    def kept(self, table: str) -> bool:
        """Whether an output is left as it was published (an event table whose day had arrived before)."""
        return TABLES[table].kind == "event" and self.store.published(table, self.ds) is not None

    def staged_files(self, table: str) -> list[Path]:
        """The staged Parquet files of an output, all days."""
        folders = [self.store.run_folder(t, day, self.run_id) for t, day in self.staged if t == table]
        return [file for folder in folders for file in sorted(folder.glob("part-*.parquet"))]

    # -- accounts --------------------------------------------------------------------------------

    def quarantine(
        self,
        entity_id: str,
        reason: str,
        detail: str,
        raw: str | None = None,
        generation_key: str | None = None,
    ) -> None:
        """Refuse one row, with a reason from the enum and the raw text."""
        if reason not in REFUSALS:
            raise ValueError(f"{reason!r} is not a refusal reason; they are {REFUSALS}")
        self._refused.append(
            {
                "entity_id": entity_id,
                "reason": reason,
                "detail": one_line(detail),
                "raw": raw,
                "generation_key": generation_key,
            }
        )

    def quarantined_by_reason(self) -> dict[str, int]:
        """How many rows were refused, by reason."""
        return dict(Counter(row["reason"] for row in self._refused))

    def write_quarantine(self, job: str, table: str) -> None:
        """Put the refused rows beside the run they would have been in."""
        if not self._refused:
            return
        same = {"ds": self.ds, "job": job, "table": table, "run_id": self.run_id}
        rows = pa.Table.from_pylist([row | same for row in self._refused], QUARANTINE_SCHEMA)
        pq.write_table(rows, self.stage(table) / QUARANTINE)

    def count(self, **amounts: int) -> None:
        """Add to the counters of the manifest (requests, cached, output_tokens ...)."""
        self.counts.update(amounts)

    def note(self, sentence: str) -> None:
        """Say something that belongs on the console and in the manifest; one line, whatever is in it."""
        sentence = shown(one_line(sentence))
        self.notes.append(sentence)
        print(sentence, file=sys.stderr, flush=True)

    def progress(self, total: int, description: str, unit: str = "row") -> Progress:
        """A progress bar for this job."""
        return Progress(total, f"{self.ds} {description}", unit)


def stamped(rows: pa.Table, newest: datetime | None) -> pa.Table:
    """The rows with `newest` as input_max_event_time of each: they were all made from the same events."""
    return rows.append_column("input_max_event_time", pa.repeat(pa.scalar(newest, TIME), rows.num_rows))


def _set_columns(rows: pa.Table, values: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    for name, value in values.items():
        column = pa.repeat(pa.scalar(value, schema.field(name).type), rows.num_rows)
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, column)
        else:
            rows = rows.append_column(name, column)
    return rows


def content_hash(rows: pa.Table) -> str:
    """Hash of what the rows say: the same for equal rows in the same order, whichever run wrote them."""
    rows = rows.drop_columns([name for name in OF_A_RUN if name in rows.column_names])
    return _hash(rows.schema, rows.combine_chunks() if rows.num_rows else None)


@cache
def empty_hash(table: str) -> str:
    """The content hash of a partition without rows."""
    said = [field.with_nullable(True) for field in TABLES[table].schema if field.name not in OF_A_RUN]
    return _hash(pa.schema(said), None)


def _hash(schema: pa.Schema, rows: pa.Table | None) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if rows is not None:
            writer.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()
