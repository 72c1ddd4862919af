"""What the questions about cold items are made of: the catalogue, what users did, and the vectors of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.history import History, event_counts, recent_items
from jobs.night import Night
from jobs.recommender.synthetic import Vector
from jobs.recommender.vectors import Vectors, aligned


@dataclass(frozen=True)
class Known:
    """The tables of a night by id.

    counts: events on each item. histories: of users all of whose last liked items the catalogue has, one more
    than is shown. Users have vectors only where these are of the items' model.
    """

    items: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]
    histories: Mapping[str, History]
    item_vectors: Mapping[str, Vector]
    user_vectors: Mapping[str, Vector]

    @cached_property
    def texts(self) -> dict[str, str]:
        """What tells an item from others in a question, empty where there is nothing."""
        return {
            item: " ".join([row["title"], *row["categories"]]).strip().lower()
            for item, row in self.items.items()
        }

    def warm(self, max_events: int) -> dict[str, int]:
        """Events of the catalogue's items with more than so many."""
        return {i: n for i, n in sorted(self.counts.items()) if n > max_events and i in self.items}


def read_known(night: Night) -> Known:
    """Read the inputs of a night."""
    rows = night.read("items", ["item_id", "title", "categories"]).to_pylist()
    items = {row["item_id"]: row for row in rows}
    files, last = night.files("interactions"), night.settings.cold_start.user_history
    histories = {
        found.user_id: found
        for found in recent_items(files, night.as_of, last + 1)
        if found.item_ids and all(item in items for item in found.item_ids)
    }
    of_items = _vectors(night, "item_embeddings", "item_id")
    of_users = _vectors(night, "user_embeddings", "user_id")
    if of_items[1].model != of_users[1].model and of_users[1].known.any():
        night.note(
            f"items have vectors of {of_items[1].model or 'no model'} and users of {of_users[1].model}, "
            "which cannot be compared, so that no user is asked: run `nightmill embed` again"
        )
        of_users = (of_users[0].slice(0, 0), of_users[1])
    return Known(items, event_counts(files, night.as_of), histories, _by_id(*of_items), _by_id(*of_users))


def _vectors(night: Night, table: str, key: str) -> tuple[pa.Array, Vectors]:
    rows = night.read(table, [key, "embedding", "model_id"])
    ids = pc.unique(rows[key])
    return ids, aligned(rows, key, ids)


def _by_id(ids: pa.Array, vectors: Vectors) -> dict[str, Vector]:
    found = zip(ids.to_pylist(), vectors.matrix, vectors.known, strict=False)
    return {name: vector for name, vector, known in found if known}
