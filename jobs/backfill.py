"""nightmill backfill: every job for a range of dates, in any order, with the tables a run in order gives.

Most jobs know their own night and what was ingested by then, so their dates may come in any order. Training
and evaluation also read earlier nights: they wait until all of the range is there and then run in order.
Airflow's backfills do not wait, a run is a whole night; `nightmill renew` does afterwards what that misses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing import get_context
from typing import NoReturn

from feature_store.errors import BudgetExhausted, NightmillError
from feature_store.partitions import Partition, Store
from feature_store.remote import open_store
from feature_store.settings import Settings
from jobs.chain import CHAIN, load_job
from jobs.progress import Progress
from jobs.publish import inputs_digest
from jobs.step import Job, Outcome, execute, find_inputs

NAMED = 3  # failures a message names


def stages(chain: Sequence[str] = CHAIN) -> tuple[list[str], list[str]]:
    """The jobs of the chain that know their own night only, and those that need earlier nights."""
    alone: list[str] = []
    in_order: list[str] = []
    made_in_order: set[str] = set()
    for job in map(load_job, chain):
        waits = any(wanted.earlier or wanted.table in made_in_order for wanted in job.inputs)
        (in_order if waits else alone).append(job.name)
        if waits:
            made_in_order.update(job.outputs)
    return alone, in_order


@dataclass
class Backfill:
    """One backfill: dates in the order in which their nights are to be run, and how many at once.

    say: told what became of each job of each night.
    """

    dates: Sequence[date]
    settings: Settings
    say: Callable[[Outcome], None]
    parallel: int = 1
    reprocess: bool = False
    failures: dict[date, NightmillError] = field(default_factory=dict)

    def run(self, chain: Sequence[str] = CHAIN) -> None:
        """Run every job of every date; NightmillError names the dates that failed, the others go on."""
        began = datetime.now(UTC)
        alone, in_order = stages(chain)
        one_by_one = [name for name in alone if load_job(name).exclusive]
        # The newest night closes every day of the range, so that the others find theirs as it left them.
        self.stage(one_by_one, sorted(self.dates, reverse=True), 1)
        self.stage([name for name in alone if name not in one_by_one], self.dates, self.parallel)
        self.stage(in_order, sorted(self.dates), 1)
        # Nights of another backfill that ran meanwhile could not know of these.
        renew(self.settings, self.say, began, chain, frozenset(self.dates))

    def stage(self, jobs: Sequence[str], dates: Sequence[date], parallel: int) -> None:
        """Run some jobs, in order, for each date; what fails for one date does not stop another."""
        if not jobs or not dates:
            return
        title = f"backfill, {jobs[0]} to {jobs[-1]}"
        self.failures |= _watched(self._nights(jobs, dates, parallel), len(dates), title, self.say)
        if self.failures:
            _fail(self.failures, len(dates))

    def _nights(self, jobs: Sequence[str], dates: Sequence[date], parallel: int) -> Iterable["Night"]:
        work = [(jobs, ds, self.settings, self.reprocess) for ds in dates]
        if parallel == 1:
            yield from map(_night, work)
            return
        try:
            with ProcessPoolExecutor(parallel, get_context("spawn")) as pool:
                yield from pool.map(_night, work)
        except BrokenProcessPool:
            raise NightmillError(
                "a process of the backfill was killed; nothing half-done was published, run it again"
            ) from None


def _watched(
    nights: Iterable["Night"], count: int, title: str, say: Callable[[Outcome], None]
) -> dict[date, NightmillError]:
    """Work nights off with a progress bar, saying what became of each; what failed for which of them."""
    failures: dict[date, NightmillError] = {}
    with Progress(count, title, "night") as progress:
        for ds, outcomes, error in nights:
            for outcome in outcomes:
                say(outcome)
            if error is not None:
                failures[ds] = error
            progress.update(extra=str(ds))
    return failures


def _fail(failures: Mapping[date, NightmillError], nights: int) -> NoReturn:
    first = next(iter(failures.values()))
    named = "; ".join(f"{ds}: {error}" for ds, error in list(failures.items())[:NAMED])
    raise type(first)(
        f"{len(failures):,} of {nights:,} nights failed, the others are done: {named}. "
        "The same command goes on from here"
    )


def renew(
    settings: Settings,
    say: Callable[[Outcome], None],
    since: datetime | None = None,
    chain: Sequence[str] = CHAIN,
    known: frozenset[date] = frozenset(),
    named: frozenset[date] = frozenset(),
) -> list[date]:
    """Run what reads earlier nights again for the nights that learnt from others than are there now.

    Oldest first, each with the settings it was made with. since: only nights made at or after it are renewed
    (None: all) and those that are `named`, later ones made before it are said. known: nights that are in
    order already. Returns the nights that had to be renewed; NightmillError names those that failed.
    """
    jobs, store = stages(chain)[1], open_store(settings)
    fresh = {
        ds for ds, finished in _made(jobs, store).items() if since is None or finished >= since or ds in named
    }
    found = stale(jobs, store, min(fresh | known)) if fresh or known else set()
    nights = sorted(found & fresh - known)
    # What is renewed changes what later ones learn from; those it does not change have nothing to do.
    work = [ds for ds in sorted(fresh - known) if nights and ds >= nights[0]]
    nights_done = (_night((jobs, ds, _settings_of(ds, jobs, settings, store), False)) for ds in work)
    failures = _watched(nights_done, len(work), "renew", say)
    if left := found - fresh - known:
        print(
            f"{len(left):,} later nights learnt before these were there: nightmill backfill "
            f"--from {min(left)} --to {max(left)} renews them",
            flush=True,
        )
    if failures:
        _fail(failures, len(work))
    return nights


def _made(jobs: Sequence[str], store: Store) -> dict[date, datetime]:
    """The nights for which each of some jobs has published, and when the last of them did."""
    published = [store.partitions(load_job(name).outputs[0]) for name in jobs]
    nights = [{partition.ds for partition in parts} for parts in published]
    whole = nights[0].intersection(*nights) if nights else set()
    made: dict[date, datetime] = {}
    for partition in (p for parts in published for p in parts if p.ds in whole):
        made[partition.ds] = max(partition.finished_at, made.get(partition.ds, partition.finished_at))
    return made


def stale(jobs: Sequence[str], store: Store, first: date) -> set[date]:
    """Nights from `first` on for which a job published from other partitions than are there now."""
    return {
        partition.ds
        for job in map(load_job, jobs)
        for partition in store.partitions(job.outputs[0])
        if partition.ds >= first and not _up_to_date(job, partition, store)
    }


def _up_to_date(job: Job, partition: Partition, store: Store) -> bool:
    try:
        inputs = find_inputs(job, partition.ds, store)
    except NightmillError:
        return True  # what it was made from has gone with retention: it cannot be made again
    digests = {name: inputs_digest(parts) for name, parts in inputs.items()}
    return bool(partition.manifest["input_digests"] == digests)


def _settings_of(ds: date, jobs: Sequence[str], settings: Settings, store: Store) -> Settings:
    """The settings a night was made with: a run may have had parameters of its own."""
    partitions = [store.published(load_job(name).outputs[0], ds) for name in jobs]
    changed = {}
    for name, said in (item for p in partitions if p for item in p.manifest["settings"].items()):
        section = getattr(settings, name)
        known = {key: value for key, value in said.items() if key in type(section).model_fields}
        changed[name] = type(section).model_validate(section.model_dump() | known)
    return settings.model_copy(update=changed)


Night = tuple[date, list[Outcome], NightmillError | None]


def _night(work: tuple[Sequence[str], date, Settings, bool]) -> Night:
    """Run some jobs for a date, here or in a process of a pool."""
    jobs, ds, settings, reprocess = work
    outcomes: list[Outcome] = []
    try:
        for name in jobs:
            try:
                outcomes.append(execute(load_job(name), ds, settings, reprocess=reprocess))
            except BudgetExhausted as error:
                if not error.published:
                    raise
    except NightmillError as error:
        return ds, outcomes, error
    return ds, outcomes, None
