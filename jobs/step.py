"""What every job shares: inputs, fingerprint, staging, quality gate, publishing, manifest.

A job is a function that takes a `Night` and writes tables through it. `execute` decides whether it has
to run at all, and publishes what it wrote only when every gate has passed.
"""

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from feature_store import catalog, gates
from feature_store.errors import BudgetExhausted, GateRefused, NightmillError
from feature_store.partitions import MANIFEST, Partition, Store, write_atomically
from feature_store.settings import REPOSITORY, Settings
from feature_store.tables import TABLES
from jobs.night import Night

VERSION = "0.1.0"


@dataclass(frozen=True)
class Input:
    """A table a job reads: the partition of its ds, or (earlier) every partition of nights before it."""

    table: str
    earlier: bool = False


@dataclass(frozen=True)
class Job:
    """One nightly step.

    settings: sections that change the result, part of the fingerprint. fingerprint: anything else that
    does (prompt hash, model revision, hash of raw files). after: what is left to do once everything is
    published, such as a report; also called when there was nothing to do, in case it was cut short before.
    """

    name: str
    summary: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    run: Callable[[Night], None]
    settings: tuple[str, ...] = ()
    fingerprint: Callable[[Settings], Any] | None = None
    shardable: bool = False
    after: Callable[[Store, date, Settings], None] | None = None


@dataclass
class Outcome:
    """What became of one execution."""

    job: str
    ds: date
    nothing_to_do: bool
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@cache
def code_version() -> str:
    """Version and a hash over every source file that can change a result."""
    digest = hashlib.sha256()
    for folder in ("feature_store", "jobs"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{VERSION}+{digest.hexdigest()[:12]}"


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def find_inputs(job: Job, ds: date, store: Store) -> dict[str, list[Partition]]:
    """The published partitions a job reads for a ds; an error names the job to run when one is missing."""
    found: dict[str, list[Partition]] = {}
    for wanted in job.inputs:
        if wanted.earlier:
            found[f"earlier {wanted.table}"] = store.partitions(wanted.table, ds - timedelta(days=1))
            continue
        partition = store.published(wanted.table, ds)
        if partition is None:
            source = TABLES[wanted.table].job
            raise NightmillError(
                f"{job.name} for {ds} needs {wanted.table} of {ds}, which is not published: "
                f"run `nightmill {source} --ds {ds}` first"
            )
        whole = TABLES[wanted.table].kind == "event"
        found[wanted.table] = store.partitions(wanted.table, ds) if whole else [partition]
    return found


def fingerprint(job: Job, ds: date, settings: Settings, inputs: Mapping[str, list[Partition]]) -> str:
    """Hash of everything the job's result depends on."""
    return digest(
        {
            "job": job.name,
            "ds": ds,
            "code": code_version(),
            "inputs": {name: [(p.ds, p.fingerprint) for p in parts] for name, parts in inputs.items()},
            "settings": {
                name: getattr(settings, name).model_dump(mode="json") for name in (*job.settings, "time")
            },
            "extra": job.fingerprint(settings) if job.fingerprint else None,
        }
    )


def is_published(job: Job, ds: date, store: Store, wanted: str) -> bool:
    """Whether every output of the job is published for ds with this fingerprint.

    A day of an event table never changes once it is published, so there its being there is enough.
    """
    for table in job.outputs:
        partition = store.published(table, ds)
        if partition is None or (TABLES[table].kind == "snapshot" and partition.fingerprint != wanted):
            return False
    return True


def execute(
    job: Job, ds: date, settings: Settings, shard: tuple[int, int] | None = None, reprocess: bool = False
) -> Outcome:
    """Run a job for a ds unless its published result was made from the very same inputs."""
    started = time.monotonic()
    store = Store(settings.data_root)
    name = f"{job.name}-{ds}" + (f"-{shard[0]}of{shard[1]}" if shard else "")
    with store.lock(name):
        inputs = find_inputs(job, ds, store)
        wanted = fingerprint(job, ds, settings, inputs)
        if not reprocess and is_published(job, ds, store, wanted):
            if job.after is not None:
                job.after(store, ds, settings)
            return Outcome(job.name, ds, True, time.monotonic() - started)
        night = Night(ds, settings, store, inputs, _new_run_id(), shard, reprocess)
        try:
            job.run(night)
            if shard is None:
                _publish(job, night, wanted, time.monotonic() - started)
        except BaseException:
            _discard(night)
            raise
    if shard is None:
        catalog.rewrite(store)
        if job.after is not None:
            job.after(store, ds, settings)
    if night.incomplete:
        raise BudgetExhausted(night.incomplete, published=shard is None)
    return Outcome(job.name, ds, False, time.monotonic() - started, dict(night.counts), tuple(night.notes))


def _new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def _publish(job: Job, night: Night, wanted: str, seconds: float) -> None:
    missing = [
        table for table in job.outputs if (table, night.ds) not in night.staged and not night.kept(table)
    ]
    if missing:
        raise NightmillError(
            f"{job.name} for {night.ds} wrote no {', '.join(missing)}; this is a defect of the job"
        )
    _check_coverage(job, night)
    gate_seconds = time.monotonic()
    for table in job.outputs:
        staged = night.staged_files(table)
        if staged and (
            failures := gates.check(TABLES[table], staged, night.ds, night.run_id, night.store.root)
        ):
            raise GateRefused(f"{table} for {night.ds} was not published: " + "; ".join(failures))
    night.timings["gate"] = time.monotonic() - gate_seconds
    # Not beside an event table: a day that is published already has no new run to put them in.
    night.write_quarantine(job.name, next(t for t in job.outputs if TABLES[t].kind == "snapshot"))
    for (table, day), rows in night.staged.items():
        manifest = _manifest(job, night, table, day, rows, wanted, seconds)
        folder = night.store.run_folder(table, day, night.run_id)
        write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2, default=str))
    for table, day in night.staged:
        night.store.publish(table, day, night.run_id)


def coverage(counts: Mapping[str, int]) -> float | None:
    """The share of the selected rows that have values; None where a job does not select rows."""
    selected = counts.get("selected", 0)
    if not selected or "written" not in counts:
        return None
    return (counts["written"] + counts.get("carried_forward", 0)) / selected


def _check_coverage(job: Job, night: Night) -> None:
    """Refuse to publish a table too few of whose rows have values."""
    reached = coverage(night.counts)
    for table in job.outputs:
        wanted = TABLES[table].coverage
        if reached is None or reached >= wanted:
            continue
        refused = ", ".join(f"{n:,} {reason}" for reason, n in night.quarantined_by_reason().items())
        said = (
            f"{table} for {night.ds} was not published: {reached:.1%} of its rows have values, "
            f"at least {wanted:.0%} must ({refused})"
        )
        if night.incomplete:
            raise BudgetExhausted(f"{said}. {night.incomplete}")
        raise GateRefused(
            f"{said}. The answers are kept: mend the prompt or choose another model, then run it again"
        )


def _manifest(
    job: Job, night: Night, table: str, day: date, rows: int, wanted: str, seconds: float
) -> dict[str, Any]:
    is_event = TABLES[table].kind == "event"
    return {
        "table": table,
        "ds": day,
        "as_of": night.as_of,
        "job": job.name,
        "run_id": night.run_id,
        # A night that is not complete must not be taken for the one that was wanted.
        "fingerprint": night.content_hashes[table, day]
        if is_event
        else wanted + ":incomplete" * bool(night.incomplete),
        "inputs": {
            name: [{"ds": p.ds, "run_id": p.run_id, "fingerprint": p.fingerprint} for p in parts[-40:]]
            for name, parts in night.inputs.items()
        },
        "settings": {name: getattr(night.settings, name).model_dump(mode="json") for name in job.settings},
        "code_version": code_version(),
        "time_mode": night.time_mode,
        "rows": {"written": rows, "quarantined": night.quarantined_by_reason()},
        "counts": dict(night.counts),
        "incomplete": night.incomplete,
        "provenance": night.provenance,
        "notes": night.notes,
        "seconds": round(seconds, 3),
        "timings": {name: round(value, 3) for name, value in night.timings.items()},
        "started_at": night.started_at,
        "finished_at": datetime.now(UTC),
    }


def _discard(night: Night) -> None:
    for table, day in night.staged:
        published = night.store.published(table, day)
        if published is None or published.run_id != night.run_id:
            shutil.rmtree(night.store.run_folder(table, day, night.run_id), ignore_errors=True)
