"""nightmill backfill: every job for a range of dates, in any order, with the tables a run in order gives.

Most jobs know their own night and what was ingested by then, so their dates may come in any order. Training
and evaluation also read earlier nights: they wait until all of the range is there and then run in order.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing import get_context

from feature_store.errors import BudgetExhausted, NightmillError
from feature_store.partitions import Store
from feature_store.remote import open_store
from feature_store.settings import Settings
from jobs.cli import CHAIN, load_job
from jobs.progress import Progress
from jobs.step import Job, Outcome, execute, find_inputs, fingerprint, is_published

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
        self._stage(one_by_one, sorted(self.dates, reverse=True), 1)
        self._stage([name for name in alone if name not in one_by_one], self.dates, self.parallel)
        self._stage(in_order, sorted(self.dates), 1)
        stale = self._stale(in_order)
        # Nights of another backfill that ran meanwhile could not know of these.
        self._stage(in_order, [ds for ds, finished in stale.items() if finished >= began], 1)
        if left := [ds for ds, finished in stale.items() if finished < began]:
            print(
                f"{len(left):,} later nights learnt before these were there: nightmill backfill "
                f"--from {min(left)} --to {max(left)} renews them",
                flush=True,
            )

    def _stage(self, jobs: Sequence[str], dates: Sequence[date], parallel: int) -> None:
        """Run some jobs, in order, for each date; what fails for one date does not stop another."""
        if not jobs or not dates:
            return
        with Progress(len(dates), f"backfill, {jobs[0]} to {jobs[-1]}", "night") as progress:
            for ds, outcomes, error in self._nights(jobs, dates, parallel):
                for outcome in outcomes:
                    self.say(outcome)
                if error is not None:
                    self.failures[ds] = error
                progress.update(extra=str(ds))
        if self.failures:
            self._fail(len(dates))

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

    def _fail(self, nights: int) -> None:
        first = next(iter(self.failures.values()))
        named = "; ".join(f"{ds}: {error}" for ds, error in list(self.failures.items())[:NAMED])
        raise type(first)(
            f"{len(self.failures):,} of {nights:,} nights failed, the others are done: {named}. "
            "The same command goes on from here"
        )

    def _stale(self, jobs: Sequence[str]) -> dict[date, datetime]:
        """Published nights outside the range that learnt from other nights than are there now, and when."""
        store, found = open_store(self.settings), {}
        for job in map(load_job, jobs):
            for partition in store.partitions(job.outputs[0]):
                ds = partition.ds
                if ds > min(self.dates) and ds not in self.dates and not self._current(job, ds, store):
                    found[ds] = datetime.fromisoformat(partition.manifest["finished_at"])
        return dict(sorted(found.items()))

    def _current(self, job: Job, ds: date, store: Store) -> bool:
        wanted = fingerprint(job, ds, self.settings, find_inputs(job, ds, store))
        return is_published(job, ds, store, wanted)


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
