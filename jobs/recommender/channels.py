"""The recall channels of a night behind one interface.

To add a channel: a file beside this one whose class has `name` and `recommend`, a field in `Channels`, a line
in `fit`, and its name in BLENDED of feature_store/tables/, which gives it columns in `candidates` and a
share of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from feature_store.sections import Recall
from jobs.recommender import als, cold_start, content, item_knn, repeat, trending, trending_category
from jobs.recommender.als import Als
from jobs.recommender.cold_start import ColdStart, ColdTables
from jobs.recommender.content import Content
from jobs.recommender.fusion import Merged, merge
from jobs.recommender.history import Codes, History
from jobs.recommender.item_knn import ItemKnn
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend
from jobs.recommender.repeat import Repeat
from jobs.recommender.trending import Trending
from jobs.recommender.trending_category import TrendingCategory
from jobs.recommender.vectors import aligned


class Channel(Protocol):
    """A source of recall candidates, fitted on what was known before as_of."""

    @property
    def name(self) -> str:
        """Its name in CHANNELS."""

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """Up to n items for each user, none that is in `seen`: shape (users, items)."""


@dataclass(frozen=True)
class Channels:
    """Every channel of a night, fitted."""

    als: Als
    item_knn: ItemKnn
    trending: Trending
    trending_category: TrendingCategory
    content: Content
    repeat: Repeat
    cold_start: ColdStart

    def propose(self, users: Codes, n: Mapping[str, int], seen: csr_matrix) -> dict[str, Proposals]:
        """What each channel that n names proposes to a block of users, up to so many."""
        channels: list[Channel] = [getattr(self, field.name) for field in fields(self)]
        return {c.name: c.recommend(users, n[c.name], seen) for c in channels if c.name in n}


@dataclass(frozen=True)
class Tables:
    """What channels are fitted on beside the history.

    items: item_id and categories. item_embeddings: item_id, embedding and model_id. synthetic_interactions:
    user_id, item_id and confidence. cold: what cold_start is made of; None where it proposes nothing.
    """

    items: pa.Table
    item_embeddings: pa.Table
    synthetic_interactions: pa.Table
    cold: ColdTables | None = None


def fit(history: History, tables: Tables, settings: Recall) -> Channels:
    """Fit every channel on the tables of a night."""
    half_life = settings.trending_half_life_days
    vectors = aligned(tables.item_embeddings, "item_id", history.item_ids)
    imagined = als.imagined_events(history, tables.synthetic_interactions, settings.synthetic_weight)
    return Channels(
        als=als.fit(history, tables.synthetic_interactions, settings),
        item_knn=item_knn.fit(history, settings),
        trending=trending.fit(history, half_life),
        trending_category=trending_category.fit(history, tables.items, half_life),
        content=content.fit(history, vectors, settings.content_history),
        repeat=repeat.fit(history, settings.repeats),
        cold_start=(
            cold_start.fit(history, vectors, tables.cold, imagined)
            if tables.cold is not None
            else cold_start.without(history)
        ),
    )


def seen(history: History, users: Codes, settings: Recall) -> csr_matrix:
    """What may not be proposed: items the users have taken, nothing where they take items again."""
    if settings.repeats:
        return csr_matrix((len(users), len(history.item_ids)), dtype=np.float32)
    return history.seen(users)


def candidates(
    channels: Channels, history: History, users: Codes, settings: Recall, blend: Blend | None = None
) -> Merged:
    """The merged candidates of a block of users; without a blend each channel has an equal share."""
    blend = blend or Blend.equal(settings.blended)
    wanted = {name: max(settings.per_channel, quota) for name, quota in blend.quotas.items()}
    blend = blend.beside(settings.cold_places)
    wanted["cold_start"] = settings.cold_places
    proposals = channels.propose(users, wanted, seen(history, users, settings))
    return merge(proposals, len(history.item_ids), settings.candidates, blend)
