"""How many candidates each channel may bring for sure, and how much its ranks weigh in the merged list.

Both are learnt on past windows, from where each channel ranked what users went on to take.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_store.tables import BLENDED

# Places that are given away at once.
BLOCK = 10
# What a weight may become in one step of the search, times what it is.
_STEPS = (0.0, 0.25, 0.5, 2.0, 4.0)
# How often the search goes through all channels.
_PASSES = 3


@dataclass(frozen=True)
class Blend:
    """Places and weight of each channel in the merged list, by its name."""

    quotas: Mapping[str, int]
    weights: Mapping[str, float]

    @classmethod
    def equal(cls, candidates: int) -> "Blend":
        """The same share of the places for every channel, and the same weight."""
        return cls(dict.fromkeys(BLENDED, candidates // len(BLENDED)), dict.fromkeys(BLENDED, 1.0))

    def beside(self, cold: int) -> "Blend":
        """The same with so many places for cold items, which come behind all others in the merged list."""
        return Blend({**self.quotas, "cold_start": cold}, {**self.weights, "cold_start": 0.0})


def learn_quotas(ranks: NDArray[np.integer], worth: NDArray[np.float64], places: int) -> dict[str, int]:
    """Share half of the places among the channels; each next block goes to the one that adds most recall.

    Half, because the next window is another one: what found nothing new in the last may do so then.
    A channel that found nothing at all has no share.
    ranks: where each channel ranked each item a user took, 0 where it did not propose it: shape
    (items taken, BLENDED). worth: what finding the item adds to the mean recall. Where no block adds
    anything the channel with the fewest places gets it; ties go to the earlier channel.
    """
    deepest = ranks.max(axis=0, initial=0)
    quotas = (deepest > 0) * (places // 2 // max(int((deepest > 0).sum()), 1))
    while (left := places - int(quotas.sum())) > 0:
        block = min(BLOCK, left)
        missing = np.all((ranks == 0) | (ranks > quotas), axis=1, keepdims=True)
        nearby = missing & (ranks > quotas) & (ranks <= quotas + block)
        gains = (nearby * worth[:, None]).sum(axis=0).round(12)
        # A channel that never found anything further down is no use there.
        exhausted = np.less_equal(deepest, quotas)
        order = np.lexsort((np.arange(len(BLENDED)), quotas, -gains, exhausted))
        quotas[order[0]] += block
    return dict(zip(BLENDED, quotas.tolist(), strict=True))


@dataclass(frozen=True)
class Proposed:
    """What channels proposed to judged users, in order of user and item; one entry a candidate.

    shares: 60 / (60 + rank) in each channel, 0 where it did not propose: shape (candidates, BLENDED).
    taken: whether the user took it. ideal: NDCG@10's ideal gain of each user.
    """

    users: NDArray[np.int64]
    shares: NDArray[np.float64]
    taken: NDArray[np.bool_]
    ideal: NDArray[np.float64]

    def ndcg(self, weights: NDArray[np.float64], top: int = 10) -> NDArray[np.float64]:
        """NDCG of each user's list in the order of the weighted sum of shares: shape (users,)."""
        scores = (self.shares @ weights).round(9)
        order = np.lexsort((-scores, self.users))
        ordered = self.users[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        hit = self.taken[order] & (place < top) & (scores[order] > 0)
        gains = np.bincount(ordered[hit], 1 / np.log2(place[hit] + 2), minlength=len(self.ideal))
        return gains / self.ideal


def learn_weights(proposed: Proposed) -> NDArray[np.float64]:
    """Weights that raise the mean NDCG@10, found by changing one channel at a time: shape (BLENDED,).

    They start equal, change by steps of two and four or to nothing, and add up to the number of channels;
    what is returned is half-way back to equal, because the next window is another one.
    """
    weights = np.ones(len(BLENDED))
    best = proposed.ndcg(weights).mean()
    for _ in range(_PASSES):
        before = best
        for channel in np.flatnonzero(proposed.shares.any(axis=0)):
            for step in _STEPS:
                changed = weights.copy()
                changed[channel] *= step
                found = proposed.ndcg(changed).mean()
                if found > best + 1e-9:
                    best, weights = found, changed
        if best <= before:
            break
    return (weights * len(weights) / weights.sum() + 1) / 2
