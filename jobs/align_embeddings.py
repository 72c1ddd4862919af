"""align_embeddings: what is known of items, and who took what -> aligned_items, alignments.

Text vectors say which items are alike; what people take together is another matter. Two towers learn the way
from the one to the other, and a mixture how much each sign counts for an item that nobody has touched. The
channel `cold_start` is made of them.
"""

from datetime import date

import numpy as np
import pyarrow as pa

from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.tables import TABLES
from jobs.finished_blocks import forget
from jobs.night import Night, stamped
from jobs.publish import code_version, digest
from jobs.recommender import alignment, item_words
from jobs.recommender.alignment import Alignment
from jobs.recommender.checkpoint import Checkpoint
from jobs.recommender.history import COLUMNS, encode
from jobs.recommender.vectors import aligned
from jobs.step import Input, Job


def run(night: Night) -> None:
    """Learn from everything before as_of and stage vectors and mixture."""
    items = night.read("items", item_words.ITEM_COLUMNS)
    history = encode(night.read("interactions", COLUMNS), items["item_id"], night.as_of)
    vectors = aligned(
        night.read("item_embeddings", ["item_id", "embedding", "model_id"]), "item_id", history.item_ids
    )
    profiles = night.read("item_profiles", item_words.PROFILE_COLUMNS)
    settings = night.settings.alignment
    words = item_words.item_words(items, profiles, vectors, history.item_ids, settings.item_numbers)
    checkpoint = Checkpoint(night.store.root / "scratch" / _folder(night.ds) / _key(night))
    # Twice as many passes as there may be: once without the held-out items, once with all.
    with night.progress(2 * settings.passes, "align_embeddings", "pass") as progress:
        found = alignment.align(
            history, words, settings, alignment.Run(checkpoint, lambda said: progress.update(1, said))
        )
    if checkpoint.resumed:
        night.note(f"align_embeddings: went on after pass {checkpoint.resumed} of a run that was cut short")
    night.note(f"align_embeddings: {_said(found)}")
    night.write(
        "aligned_items", stamped(_items(found, history.item_ids, words.known, vectors.model), history.newest)
    )
    night.write("alignments", stamped(_row(found, vectors.model), history.newest))


def _said(found: Alignment) -> str:
    if not found.recalls:
        return "too few items or users to hold any out: text and words alone say who a cold item is for"
    shares = ", ".join(f"{name} {value:.3f}" for name, value in found.recalls.items())
    held = f"{found.held_items:,} items held out, {found.held_users:,} users"
    return f"recall@{alignment.K} among {held}: {shares}"


def _items(found: Alignment, ids: pa.Array, known: np.ndarray, model: str) -> pa.Table:
    """A row for each item of which something is known."""
    rows = np.flatnonzero(known)
    offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * found.shown.shape[1])
    columns = {
        "item_id": ids.take(pa.array(rows)),
        "shown": pa.ListArray.from_arrays(offsets, pa.array(found.shown[rows].ravel())),
        "wanted": pa.ListArray.from_arrays(offsets, pa.array(found.wanted[rows].ravel())),
        "model_id": pa.repeat(model, len(rows)),
    }
    return pa.table(columns)


def _row(found: Alignment, model: str) -> pa.Table:
    mixture = found.mixture
    row = {
        "model_id": model,
        "far": mixture.far,
        "near": mixture.near,
        "blocks": list(mixture.weights),
        "block_weights": list(mixture.weights.values()),
        "equal_events": found.equal_events,
        "passes": found.passes,
        "held_items": found.held_items,
        "held_users": found.held_users,
        "recall_towers": found.recalls.get("towers"),
        "recall_nearness": found.recalls.get("nearness"),
        "recall_both": found.recalls.get("both"),
    }
    schema = TABLES["alignments"].schema
    return pa.table({name: pa.array([value], schema.field(name).type) for name, value in row.items()})


def _folder(ds: date) -> str:
    return f"align-{ds}"


def _key(night: Night) -> str:
    """Hash of everything that learning depends on."""
    inputs = {name: [(p.ds, p.fingerprint) for p in parts] for name, parts in night.inputs.items()}
    settings = night.settings.alignment.model_dump(mode="json")
    return digest({"code": code_version(), "inputs": inputs, "settings": settings})[:16]


def _forget_checkpoints(store: Store, ds: date, settings: Settings) -> None:
    """Everything is published: checkpoints are no longer needed."""
    forget(store.root, _folder(ds))


JOB = Job(
    name="align_embeddings",
    summary="items, item_profiles, item_embeddings, interactions -> aligned_items, alignments",
    inputs=(Input("interactions"), Input("items"), Input("item_profiles"), Input("item_embeddings")),
    outputs=("aligned_items", "alignments"),
    run=run,
    settings=("alignment",),
    after=_forget_checkpoints,
)
