"""How many candidates each channel may bring for sure, and how much its ranks weigh in the merged list."""

from collections.abc import Mapping
from dataclasses import dataclass

from feature_store.tables import CHANNELS


@dataclass(frozen=True)
class Blend:
    """Places and weight of each channel in the merged list, by its name."""

    quotas: Mapping[str, int]
    weights: Mapping[str, float]

    @classmethod
    def equal(cls, candidates: int) -> "Blend":
        """The same share of the places for every channel, and the same weight."""
        return cls(dict.fromkeys(CHANNELS, candidates // len(CHANNELS)), dict.fromkeys(CHANNELS, 1.0))
