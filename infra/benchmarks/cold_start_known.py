"""What is known in a trial of `nightmill bench cold-start`, as the product's own jobs see it.

The events that are left and the catalogue are staged as a night's tables, and `embed` (and what follows it)
run over them. A trial is a run of its own in one data root.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import Partition, Store
from feature_store.sections import Settings
from feature_store.tables import TABLES
from jobs import embed
from jobs.night import Night
from jobs.recommender.history import COLUMNS, Codes, History, codes, encode
from jobs.recommender.vectors import Vectors, aligned
from jobs.sources.catalogue import with_unlisted
from jobs.step import Job


@dataclass(frozen=True, eq=False)  # told apart by identity, so that what is fitted on one can be kept
class Known:
    """What may be used to rank the held-out items.

    texts: of each item of the catalogue, by its code. vectors: of these texts. cold: codes of the held-out
    items, in order. night: its inputs are the tables behind all this.
    """

    history: History
    texts: Sequence[str]
    vectors: Vectors
    cold: Codes
    night: Night

    @property
    def warm(self) -> Codes:
        """Items with an event and a vector, in order."""
        with_events = np.bincount(self.history.items, minlength=len(self.history.item_ids)) > 0
        return np.flatnonzero(with_events & self.vectors.known).astype(np.int32)


def keep_vectors(settings: Settings) -> None:
    """Let a data root share vectors of texts with other runs: thousands of long texts take minutes."""
    kept = settings.cache_root / "benchmarks" / "vectors"
    kept.mkdir(parents=True, exist_ok=True)
    settings.data_root.mkdir(parents=True)
    (settings.data_root / "vectors").symlink_to(kept)


def stage(events: pa.Table, items: pa.Table, root: Path, run: str, settings: Settings) -> Night:
    """A night that ends after the last of the events; its inputs are these events, these items, and vectors.

    events: in the columns of `interactions`. items: in those of `items`. run: the name of the run.
    """
    last = pc.max(events["event_time"]).as_py()
    night = Night(last.date(), settings, Store(root), {}, run)
    # `interactions` holds a day a partition; here it is one file, which the jobs read just the same.
    night.write("interactions", events)
    night.write("items", with_unlisted(items, pc.unique(events["item_id"])))
    night.write("users", _users(events))
    night.write("item_profiles", TABLES["item_profiles"].schema.empty_table())
    with_inputs(night, "interactions", "items", "users", "item_profiles")
    run_job(embed.JOB, night)
    return night


def run_job(job: Job, night: Night) -> None:
    """Run a job over what is staged; what it writes becomes input of what follows."""
    job.run(night)
    with_inputs(night, *job.outputs)


def with_inputs(night: Night, *tables: str) -> None:
    """Let a night read tables that it staged itself.

    Their fingerprints are those of the run: what a job keeps of one trial must not be taken up by another.
    """
    run = night.run_id
    found = {table: [Partition(table, night.ds, run, night.stage(table), run)] for table in tables}
    night.inputs = {**night.inputs, **found}


def known(night: Night, held: Sequence[str]) -> Known:
    """The night's tables as the channels are fitted on them. held: ids of the held-out items."""
    items = night.read("items", ["item_id"])
    history = encode(night.read("interactions", COLUMNS), items["item_id"], night.as_of)
    texts = embed.item_texts(night)
    vectors = aligned(
        night.read("item_embeddings", ["item_id", "embedding", "model_id"]), "item_id", history.item_ids
    )
    cold = codes(pa.chunked_array([pa.array(held, pa.string())]), history.item_ids)
    return Known(history, [texts[item] for item in history.item_ids.to_pylist()], vectors, cold, night)


def _users(events: pa.Table) -> pa.Table:
    """Whoever has an event; of nobody is anything else known."""
    ids = pc.unique(events["user_id"])
    newest = pa.repeat(pc.max(events["event_time"]), len(ids))
    return pa.table({"user_id": ids, "attributes": pa.repeat("{}", len(ids)), "input_max_event_time": newest})
