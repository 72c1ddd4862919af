"""embed: items, item_profiles, interactions -> item_embeddings, user_embeddings.

Every item of the catalogue gets the vector of its text; a user the mean of the vectors of the last items
the user liked before as_of. A text that was embedded before, on any night, is not embedded again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.assets import ResolvedModel, resolve_model
from jobs.history import recent_items
from jobs.llm.inputs import record
from jobs.llm.text import fence
from jobs.llm.vectors import Vectors, text_hash
from jobs.night import Night
from jobs.step import Input, Job

TEXT_LIMIT = 1000


def run(night: Night) -> None:
    """Embed what has no vector yet, and publish items and users."""
    model = resolve_model(night.settings.embedding.model, night.settings)
    texts = item_texts(night)
    vectors = vectors_of(night, model, texts, "embed")
    night.count(selected=len(texts))
    night.provenance.update(model_id=model.model_id, model_revision=model.revision)
    night.write("item_embeddings", _item_table(texts, vectors, model))
    night.write("user_embeddings", _user_table(night, texts, vectors, model))


def item_texts(night: Night) -> dict[str, str]:
    """What is embedded of each item: title, categories, and the model's description or the source's."""
    profiles = night.read("item_profiles", ["item_id", "llm_description"])
    described = dict(zip(*(profiles[name].to_pylist() for name in profiles.column_names), strict=True))
    items = night.read("items", ["item_id", "title", "description", "categories"])
    return {row["item_id"]: text_of(row, described.get(row["item_id"])) for row in items.to_pylist()}


def text_of(item: Mapping[str, Any], llm_description: str | None = None) -> str:
    """One item's text; empty where it has none at all."""
    parts = [item["title"], ", ".join(item["categories"]), llm_description or item["description"] or ""]
    return ". ".join(text for part in parts if (text := fence(part, TEXT_LIMIT)))


def vectors_of(
    night: Night, model: ResolvedModel, texts: Mapping[str, str], job: str
) -> dict[str, np.ndarray]:
    """The vector of every text, by text hash; only those that no night has embedded are computed.

    texts: by item; job: who wants to know, for the progress bar and the audit of what models read.
    """
    record(night, job, texts.items())
    settings = night.settings.embedding
    cache = Vectors(night.store.root, model.model_id, model.revision, settings.max_tokens)
    by_hash = {text_hash(text): text for text in texts.values()}
    found = cache.find(by_hash)
    missing = [key for key in by_hash if key not in found]
    night.count(embedded=len(missing), reused_vectors=len(by_hash) - len(missing))
    if not missing:
        return found
    # torch and transformers take seconds to import, so only when there is something to embed.
    from jobs.llm.embedder import open_embedder

    embedder = open_embedder(model, settings)
    with night.progress(len(missing), job, "text") as progress:
        for positions, batch in embedder.embed([by_hash[key] for key in missing]):
            new = {missing[position]: vector for position, vector in zip(positions, batch, strict=True)}
            found.update(new)
            progress.update(len(new))
    cache.add({key: found[key] for key in missing})
    return found


def _item_table(
    texts: Mapping[str, str], vectors: Mapping[str, np.ndarray], model: ResolvedModel
) -> pa.Table:
    hashes = [text_hash(text) for text in texts.values()]
    return _table(
        "item_embeddings",
        item_id=list(texts),
        embedding=[vectors[key] for key in hashes],
        text_hash=hashes,
        model_id=[model.model_id] * len(texts),
        model_revision=[model.revision] * len(texts),
        input_max_event_time=[None] * len(texts),
    )


def _user_table(
    night: Night, texts: Mapping[str, str], vectors: Mapping[str, np.ndarray], model: ResolvedModel
) -> pa.Table:
    last = night.settings.embedding.user_history
    users = []
    for history in recent_items(night.files("interactions"), night.as_of, last):
        known = [vectors[text_hash(texts[item])] for item in history.item_ids if item in texts]
        if known and (vector := unit_mean(np.stack(known))) is not None:
            users.append((history.user_id, vector, len(known), history.newest))
    return _table(
        "user_embeddings",
        user_id=[user for user, *_ in users],
        embedding=[vector for _, vector, *_ in users],
        history_events=[count for *_, count, _ in users],
        model_id=[model.model_id] * len(users),
        model_revision=[model.revision] * len(users),
        input_max_event_time=[newest for *_, newest in users],
    )


def unit_mean(vectors: np.ndarray) -> np.ndarray | None:
    """The mean of vectors of shape (n, dimensions), scaled to length one; None where they cancel out."""
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 1e-6 else None


def _table(table: str, **columns: list[Any]) -> pa.Table:
    schema = TABLES[table].schema
    return pa.table(columns, schema=pa.schema([schema.field(name) for name in columns]))


def fingerprint(settings: Settings) -> Any:
    """The embedding model."""
    model = resolve_model(settings.embedding.model, settings)
    return [model.model_id, model.revision]


JOB = Job(
    name="embed",
    summary="items, item_profiles, interactions -> item_embeddings, user_embeddings",
    inputs=(Input("items"), Input("item_profiles"), Input("interactions")),
    outputs=("item_embeddings", "user_embeddings"),
    run=run,
    settings=("embedding",),
    fingerprint=fingerprint,
)
