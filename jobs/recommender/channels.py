"""The recall channels of a night behind one interface.

To add a channel: a file beside this one whose class has `name` and `recommend`, a field in `Channels`, a line
in `fit`, and its name in CHANNELS of feature_store/tables.py, which gives it its columns in `candidates`.
"""

from dataclasses import dataclass, fields
from typing import Protocol

import pyarrow as pa
from scipy.sparse import csr_matrix

from feature_store.sections import Recall
from jobs.recommender import als, content, trending
from jobs.recommender.als import Als
from jobs.recommender.content import Content
from jobs.recommender.fusion import Merged, merge
from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import Proposals
from jobs.recommender.trending import Trending
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
    trending: Trending
    content: Content

    def propose(self, users: Codes, n: int, seen: csr_matrix) -> dict[str, Proposals]:
        """What each channel proposes to a block of users, by its name."""
        channels: list[Channel] = [getattr(self, field.name) for field in fields(self)]
        return {channel.name: channel.recommend(users, n, seen) for channel in channels}


def fit(
    history: History,
    synthetic_interactions: pa.Table,
    item_embeddings: pa.Table,
    settings: Recall,
) -> Channels:
    """Fit every channel on the tables of a night."""
    vectors = aligned(item_embeddings, "item_id", history.item_ids)
    return Channels(
        als=als.fit(history, synthetic_interactions, settings),
        trending=trending.fit(history, settings.trending_half_life_days),
        content=content.fit(history, vectors, settings.content_history),
    )


def candidates(channels: Channels, history: History, users: Codes, settings: Recall) -> Merged:
    """The merged candidates of a block of users, items they have seen left out."""
    proposals = channels.propose(users, settings.per_channel, history.seen(users))
    return merge(proposals, len(history.item_ids), settings.candidates)
