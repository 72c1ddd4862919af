"""Everything that is measured of a night's lists, user by user: what `evaluate` takes the means of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from jobs.recommender import metrics, slices
from jobs.recommender.history import Codes
from jobs.recommender.intervals import PerUser
from jobs.recommender.judged import MERGED, Block
from jobs.recommender.list_qualities import Qualities
from jobs.recommender.metrics import Hits, Wanted

LIST_METRICS: dict[str, Callable[[Hits, Wanted, int], PerUser]] = {
    "ndcg_at_k": metrics.ndcg,
    "recall_at_k": metrics.recall,
    "hit_rate_at_k": metrics.hit_rate,
    "mrr_at_k": metrics.mrr,
}
QUALITIES = ("novelty", "popularity_bias", "intra_list_diversity", "miscalibration")
FOUND, GAIN, DECILE = "candidate_recall_at_n", "candidate_recall_gain_at_n", "taken_share_in_decile"
DECILES = 10


class Key(NamedTuple):
    """One measure: of which stage, at which cut-off (or of which decile), over which slice."""

    stage: str
    metric: str
    k: int
    slice: str = slices.ALL


Values = dict[Key, PerUser]


@dataclass(frozen=True)
class Measures:
    """What is measured of a night.

    stages: what was published first. candidates: how many a user can have, by stage of recall. of_item:
    slices of items. usual_events and new_events: see `slices.of_users`. bounds: the 9 between the deciles of
    the published scores.
    """

    stages: Sequence[str]
    cutoffs: Sequence[int]
    candidates: Mapping[str, int]
    of_item: Mapping[str, slices.Flags]
    qualities: Qualities
    usual_events: float
    new_events: int
    bounds: NDArray[np.float64]

    @property
    def keys(self) -> list[Key]:
        """Every measure, whichever users come."""
        lists = [
            Key(stage, metric, k, name)
            for stage in self.stages
            for metric in LIST_METRICS
            for k in self.cutoffs
            for name in slices.SLICES
        ]
        like = [Key(stage, name, k) for stage in self.stages for name in QUALITIES for k in self.cutoffs]
        recall = [Key(stage, FOUND, n, name) for stage, n in self._recall for name in slices.SLICES]
        gains = [
            Key(stage, GAIN, n, name)
            for stage, n in self._recall
            if stage != MERGED
            for name in slices.SLICES
        ]
        deciles = [Key(self.stages[0], DECILE, place) for place in range(1, DECILES + 1)]
        return [*lists, *like, *recall, *gains, *deciles]

    @property
    def _recall(self) -> list[tuple[str, int]]:
        return [(stage, n) for stage, n in self.candidates.items() if n]

    def of(self, block: Block) -> tuple[Values, Values]:
        """Every measure of some users, and of those that are shares of more than one thing, of how many."""
        deciles, counts = self._deciles(block)
        return self._of_lists(block) | self._of_qualities(block) | self._of_recall(block) | deciles, counts

    def _of_lists(self, block: Block) -> Values:
        found: Values = {}
        wanted = {name: _counts(block, flags) for name, flags in self.of_item.items()}
        for stage in self.stages:
            lists = block.lists[stage]
            hits = hits_of(block, lists)
            for metric, measure in LIST_METRICS.items():
                for k in self.cutoffs:
                    for name, flags in self.of_item.items():
                        found[Key(stage, metric, k, name)] = measure(hits & flags[lists], wanted[name], k)
                    self._split(found, Key(stage, metric, k), block)
        return found

    def _split(self, found: Values, key: Key, block: Block) -> None:
        """The measure over all items, kept for each slice of users by itself."""
        for name, flags in slices.of_users(block.before, self.usual_events, self.new_events).items():
            found[key._replace(slice=name)] = np.where(flags, found[key], np.nan)

    def _of_qualities(self, block: Block) -> Values:
        n, items = len(block.user_ids), block.had.shape[1]
        taken = csr_matrix((np.ones(len(block.taken)), (block.takers, block.taken)), shape=(n, items))
        taste = _shares(block.had @ self.qualities.categories)
        found: Values = {}
        for stage in self.stages:
            lists = block.lists[stage]
            for k in self.cutoffs:
                first = lists[:, :k]
                found[Key(stage, "novelty", k)] = self.qualities.novelty(first)
                found[Key(stage, "popularity_bias", k)] = self.qualities.popularity_bias(first, taken)
                found[Key(stage, "intra_list_diversity", k)] = self.qualities.diversity(first)
                found[Key(stage, "miscalibration", k)] = self.qualities.miscalibration(first, taste)
        return found

    def _of_recall(self, block: Block) -> Values:
        """Candidate recall merged and of each channel, and what each channel alone brought in."""
        found: Values = {}
        several = sum(block.found[stage].astype(int) for stage in block.found if stage != MERGED)
        for stage, n in self._recall:
            kinds = {FOUND: block.found[stage]}
            if stage != MERGED:
                kinds[GAIN] = block.found[stage] & (several == 1)
            for metric, pairs in kinds.items():
                for name, flags in self.of_item.items():
                    share = _counts(block, flags, pairs), _counts(block, flags)
                    found[Key(stage, metric, n, name)] = _divided(*share)
                self._split(found, Key(stage, metric, n), block)
        return found

    def _deciles(self, block: Block) -> tuple[Values, Values]:
        """Items of the published lists that were taken, and all of them, by decile of their scores."""
        stage = self.stages[0]
        hits = hits_of(block, block.lists[stage])
        listed = ~np.isnan(block.scores)
        decile = np.where(listed, np.searchsorted(self.bounds, block.scores, side="left") + 1, 0)
        values = {}
        counts = {}
        for place in range(1, DECILES + 1):
            key = Key(stage, DECILE, place)
            counts[key] = (decile == place).sum(axis=1).astype(float)
            taken = (hits & (decile == place)).sum(axis=1).astype(float)
            values[key] = np.where(counts[key] > 0, taken, np.nan)
        return values, counts


def hits_of(block: Block, lists: Codes) -> Hits:
    """Where the lists are relevant: shape (n, places)."""
    items = block.had.shape[1]
    wanted = block.takers.astype(np.int64) * items + block.taken
    listed = np.arange(len(lists), dtype=np.int64)[:, None] * items + lists
    return np.isin(listed, wanted) & (lists >= 0)


def _counts(block: Block, flags: slices.Flags, pairs: slices.Flags | None = None) -> Wanted:
    """How many of the pairs of each user are on such items, or of some of the pairs."""
    counted = flags[block.taken] if pairs is None else flags[block.taken] & pairs
    return np.bincount(block.takers, counted, minlength=len(block.user_ids)).astype(np.int64)


def _divided(part: Wanted, whole: Wanted) -> PerUser:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _shares(counts: csr_matrix) -> csr_matrix:
    """Rows that sum to one, empty ones left empty."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    return (diags(np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)) @ counts).tocsr()
