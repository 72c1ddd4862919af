"""replay: the rows a job refused are asked about again, and the partition is published anew with them.

For use after a prompt or a model has changed, or a budget was raised. The rows that were accepted stay as
they were, with their own provenance, and cost nothing.
"""

import time
from datetime import date

import pyarrow.parquet as pq

from feature_store.errors import NightmillError, UsageError
from feature_store.partitions import Partition
from feature_store.remote import open_store
from feature_store.settings import Settings
from jobs.night import Night
from jobs.publish import INCOMPLETE
from jobs.step import Job, Outcome, attempt, find_inputs, finish, lock_name, new_run_id


def check_replayable(job: Job) -> None:
    """Refuse a job whose refused rows are not rows of its table; UsageError says what to do instead."""
    if job.replayable:
        return
    raise UsageError(
        f"{job.name} cannot be replayed row by row: run `nightmill {job.name} --ds D --reprocess`, "
        "which asks again what has no answer"
    )


def replay(job: Job, ds: date, settings: Settings) -> Outcome:
    """Ask about the refused rows of a published partition again; nothing to do where there are none."""
    started = time.monotonic()
    store, said = open_store(settings), f"{job.name} for {ds}"
    with store.lease(), store.in_company(said), store.lock(lock_name(job, ds), said):
        partition = store.published(job.outputs[0], ds)
        if partition is None:
            raise NightmillError(
                f"{job.outputs[0]} of {ds} is not published: run `nightmill {job.name} --ds {ds}` first"
            )
        refused = refused_rows(partition)
        if not refused:
            return Outcome(job.name, ds, True, time.monotonic() - started)
        night = Night(ds, settings, store, find_inputs(job, ds, store), new_run_id())
        night.only, night.replayed = refused, partition
        # The night stays what it was made from, so that the next `nightmill <job>` does not undo the replay.
        attempt(job, night, partition.fingerprint.removesuffix(INCOMPLETE), started)
    return finish(job, night, started)


def refused_rows(partition: Partition) -> frozenset[str]:
    """The ids of the rows in a partition's quarantine."""
    if partition.quarantine is None:
        return frozenset()
    return frozenset(pq.read_table(partition.quarantine, columns=["entity_id"])["entity_id"].to_pylist())
