"""The end of a run: coverage, quality gates, manifest, and the pointer that makes it visible."""

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from feature_store import gates
from feature_store.errors import BudgetExhausted, GateRefused, NightmillError
from feature_store.locations import shown
from feature_store.partitions import MANIFEST, Partition
from feature_store.settings import REPOSITORY, Settings
from feature_store.tables import TABLES
from jobs import drift
from jobs.night import Night

if TYPE_CHECKING:
    from jobs.step import Job

VERSION = "0.1.0"
# Behind the fingerprint of a night some of whose rows still wait to be asked about.
INCOMPLETE = ":incomplete"


@cache
def code_version() -> str:
    """Version and a hash over every source file that can change a result."""
    digest = hashlib.sha256()
    for folder in ("feature_store", "jobs"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{VERSION}+{digest.hexdigest()[:12]}"


def inputs_digest(partitions: Iterable[Partition]) -> str:
    """Hash over every partition a table was read from; a manifest lists only the newest of them."""
    read = [f"{partition.ds} {partition.fingerprint}" for partition in partitions]
    return hashlib.sha256("\n".join(read).encode()).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def source(job: "Job", settings: Settings) -> str:
    """Hash of what a job reads that is no table: its settings, and whatever else it says."""
    sections = {name: getattr(settings, name).model_dump(mode="json") for name in job.settings}
    return digest([sections, job.fingerprint(settings) if job.fingerprint else None])


def publish(job: "Job", night: Night, wanted: str, seconds: float) -> None:
    """Publish what a job staged, under the fingerprint `wanted`; GateRefused where a gate says no."""
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
        _check_rows(night, table)
        night.drift[table] = drift.check(night, table)
    night.timings["gate"] = time.monotonic() - gate_seconds
    # Not beside an event table: a day that is published already has no new run to put them in.
    night.write_quarantine(job.name, next(t for t in job.outputs if TABLES[t].kind == "snapshot"))
    _write_manifests(job, night, wanted, seconds)
    night.store.publish_all((table, day, night.run_id) for table, day in night.staged)


def _check_rows(night: Night, table: str) -> None:
    """Refuse to publish rows that break their table's contract."""
    staged = night.staged_files(table)
    if not staged:
        return
    if failures := gates.check(TABLES[table], staged, night.ds, night.run_id, night.store.root):
        raise GateRefused(f"{table} for {night.ds} was not published: " + "; ".join(failures))


def coverage(counts: Mapping[str, int]) -> float | None:
    """The share of the selected rows that have values; None where a job does not select rows."""
    selected = counts.get("selected", 0)
    if not selected or "written" not in counts:
        return None
    return (counts["written"] + counts.get("carried_forward", 0)) / selected


def _check_coverage(job: "Job", night: Night) -> None:
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


def _write_manifests(job: "Job", night: Night, wanted: str, seconds: float) -> None:
    """Put a manifest beside every staged run; synced with the run, when it is published."""
    same = _accounts(job, night, seconds)
    # A night that is not complete must not be taken for the one that was wanted.
    wanted += INCOMPLETE * bool(night.incomplete)
    for (table, day), rows in night.staged.items():
        manifest = {
            "table": table,
            "ds": day,
            "fingerprint": night.content_hashes[table, day] if job.keeps_published else wanted,
            "drift": night.drift.get(table),
            "rows": {"written": rows, "quarantined": night.quarantined_by_reason()},
        }
        text = shown(json.dumps(manifest | same, default=str))
        (night.store.run_folder(table, day, night.run_id) / MANIFEST).write_text(text, "utf-8")


def _accounts(job: "Job", night: Night, seconds: float) -> dict[str, Any]:
    """What the manifests of all the tables of a run have in common."""
    return {
        "as_of": night.as_of,
        "job": job.name,
        "run_id": night.run_id,
        "process": f"pid {os.getpid()} on {socket.gethostname()}",
        "source": source(job, night.settings) if job.keeps_published else None,
        "inputs": {
            name: [{"ds": p.ds, "run_id": p.run_id, "fingerprint": p.fingerprint} for p in parts[-40:]]
            for name, parts in night.inputs.items()
        },
        "input_digests": {name: inputs_digest(parts) for name, parts in night.inputs.items()},
        "settings": {name: getattr(night.settings, name).model_dump(mode="json") for name in job.settings},
        "code_version": code_version(),
        "time_mode": night.time_mode,
        "counts": dict(night.counts),
        "incomplete": night.incomplete,
        "provenance": night.provenance,
        "replayed": night.replayed and {"run_id": night.replayed.run_id, "rows": len(night.only or ())},
        "notes": night.notes,
        "seconds": round(seconds, 3),
        "timings": {name: round(value, 3) for name, value in night.timings.items()},
        "started_at": night.started_at,
        "finished_at": datetime.now(UTC),
    }


def discard(night: Night) -> None:
    """Remove what a failed run staged."""
    for table, day in night.staged:
        published = night.store.published_here(table, day)
        if published is None or published.run_id != night.run_id:
            shutil.rmtree(night.store.run_folder(table, day, night.run_id), ignore_errors=True)
