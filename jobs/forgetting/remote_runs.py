"""Superseded runs out of the remote location: what is published there was replaced when it was published."""

import tempfile
from pathlib import Path

from feature_store.partitions import Store
from feature_store.remote import RemoteStore
from feature_store.tables import TABLES
from jobs.forgetting.people import People
from jobs.forgetting.runs import holds
from jobs.forgetting.summary import Summary


def remove_remote(store: Store, people: People, summary: Summary) -> None:
    """Remove the runs in the remote that no pointer names and that have something of theirs."""
    if not isinstance(store, RemoteStore):
        return
    for table in TABLES:
        for ds, run_id in store.remote_runs(table):
            published = store.published(table, ds)
            if published is not None and published.run_id == run_id:
                continue
            with tempfile.TemporaryDirectory(prefix="nightmill-forget-") as folder:
                store.fetch_run(table, ds, run_id, Path(folder))
                if holds(table, Path(folder), people) is False:
                    continue
            summary.add("superseded runs in the remote")
            if not summary.dry_run:
                store.remove_run(table, ds, run_id)
