"""What every job shares: inputs, fingerprint, staging, quality gate, publishing, manifest.

A job is a function that takes a `Night` and writes tables through it. `execute` decides whether it has
to run at all, and publishes what it wrote only when every gate has passed.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from feature_store import catalog
from feature_store.errors import BudgetExhausted, NightmillError
from feature_store.partitions import Partition, Store
from feature_store.remote import open_store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs import lineage, logs
from jobs.night import Night, empty_hash
from jobs.publish import code_version, digest, discard, publish, source

KEPT = (
    "the source or its mapping has changed since; what is published stays: what is new enters the next ds, "
    "and --reprocess rebuilds this one and the days before it"
)


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
    exclusive: one run at a time whatever its ds, for a job that publishes other days of an event table too.
    keeps_published: what is published for a ds stays, whatever has become of its inputs, until `reprocess`;
    its partitions have the hash of their rows for a fingerprint. replayable: each row of its one output is
    one request, so that refused rows can be asked about by themselves (`nightmill replay`).
    """

    name: str
    summary: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    run: Callable[[Night], None]
    settings: tuple[str, ...] = ()
    fingerprint: Callable[[Settings], Any] | None = None
    shardable: bool = False
    replayable: bool = False
    exclusive: bool = False
    keeps_published: bool = False
    after: Callable[[Store, date, Settings], None] | None = None


@dataclass
class Outcome:
    """What became of one execution.

    rival: the run of another process that published the same meanwhile, where that is why nothing was to do.
    """

    job: str
    ds: date
    nothing_to_do: bool
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rival: str = ""


def find_inputs(job: Job, ds: date, store: Store) -> dict[str, list[Partition]]:
    """The published partitions a job reads for a ds; an error names the job to run when one is missing."""
    found: dict[str, list[Partition]] = {}
    for wanted in job.inputs:
        if wanted.earlier:
            found[f"earlier {wanted.table}"] = store.partitions(wanted.table, ds - timedelta(days=1))
            continue
        partition = store.published(wanted.table, ds)
        if partition is None:
            maker = TABLES[wanted.table].job
            raise NightmillError(
                f"{job.name} for {ds} needs {wanted.table} of {ds}, which is not published: "
                f"run `nightmill {maker} --ds {ds}` first"
            )
        whole = TABLES[wanted.table].kind == "event"
        found[wanted.table] = _with_events(store.partitions(wanted.table, ds)) if whole else [partition]
    return found


def _with_events(partitions: list[Partition]) -> list[Partition]:
    """The days with events: whether a day without any was published changes nothing for those after it."""
    return [p for p in partitions if p.fingerprint != empty_hash(p.table)]


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
    """Whether every output of the job is published for ds, with this fingerprint or to be kept as it is."""
    published = [store.published(table, ds) for table in job.outputs]
    return all(p is not None and (job.keeps_published or p.fingerprint == wanted) for p in published)


def source_changed(job: Job, ds: date, store: Store, settings: Settings) -> bool:
    """Whether what a job that keeps its partitions read for ds has changed since."""
    partition = store.published(job.outputs[-1], ds) if job.keeps_published else None
    return partition is not None and partition.manifest.get("source") != source(job, settings)


def lock_name(job: Job, ds: date, shard: tuple[int, int] | None = None) -> str:
    """The lock under which a job (or a shard of it) runs for a ds: that of every partition it publishes."""
    if job.exclusive:
        return job.name
    return f"{job.name}-{ds}" + (f"-{shard[0]}of{shard[1]}" if shard else "")


def rival(job: Job, ds: date, store: Store, began: datetime) -> str:
    """The run that published the job's result for ds after `began`, and its process; empty if none did."""
    for table in (t for t in job.outputs if TABLES[t].kind == "snapshot"):
        partition = store.published(table, ds)
        if partition and partition.finished_at >= began:
            return f"run {partition.run_id} of {partition.manifest['process']}"
    return ""


def execute(
    job: Job,
    ds: date,
    settings: Settings,
    shard: tuple[int, int] | None = None,
    reprocess: bool = False,
    fresh: bool = False,
) -> Outcome:
    """Run a job for a ds unless its published result was made from the very same inputs.

    reprocess: run it in any case. fresh: likewise, and without what an earlier night's search has found.
    Of two that are started at once one runs; the other waits, and finds that there is nothing left to do.
    """
    started, began = time.monotonic(), datetime.now(UTC)
    logs.about(settings, job.name, ds)
    store = open_store(settings)
    said = f"{job.name} for {ds}"
    with store.lease(), store.in_company(said):
        with store.lock(lock_name(job, ds, shard), said):
            inputs = find_inputs(job, ds, store)
            wanted = fingerprint(job, ds, settings, inputs)
            if not (reprocess or fresh) and is_published(job, ds, store, wanted):
                if job.after is not None:
                    job.after(store, ds, settings)
                notes = (KEPT,) if source_changed(job, ds, store, settings) else ()
                seconds = time.monotonic() - started
                return Outcome(job.name, ds, True, seconds, notes=notes, rival=rival(job, ds, store, began))
            night = Night(ds, settings, store, inputs, new_run_id(), shard, reprocess, fresh)
            attempt(job, night, wanted, started)
        return finish(job, night, started)


def attempt(job: Job, night: Night, wanted: str, started: float) -> None:
    """Run a job and publish what it wrote under the fingerprint `wanted`; when that fails nothing is left."""
    logs.about(night.settings, job.name, night.ds, night.run_id)
    try:
        with lineage.told(job, night):
            job.run(night)
            if night.shard is None:
                publish(job, night, wanted, time.monotonic() - started)
    except BaseException:
        discard(night)
        raise


def finish(job: Job, night: Night, started: float) -> Outcome:
    """What follows a run: catalogue, report, and BudgetExhausted where rows still wait to be asked about."""
    if night.shard is None:
        catalog.rewrite(night.store)
        if job.after is not None:
            job.after(night.store, night.ds, night.settings)
    if night.incomplete:
        raise BudgetExhausted(night.incomplete, published=night.shard is None)
    seconds = time.monotonic() - started
    return Outcome(job.name, night.ds, False, seconds, dict(night.counts), tuple(night.notes))


def new_run_id() -> str:
    """The name of a run: when it began, and what sets it apart from others that began then."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
