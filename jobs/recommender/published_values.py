"""Two nights' published lists against each other: other users, another week."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.recommender.intervals import Bootstrap, Interval, PerUser
from jobs.recommender.judged import Block
from jobs.recommender.measures import LIST_METRICS, Key, hits_of

# What the difference of two nights is said to be compared to.
EARLIER = "earlier night"


class PublishedValues:
    """The list metrics of one night's published lists, user by user, gathered block by block."""

    def __init__(self, cutoffs: Sequence[int]) -> None:
        self.cutoffs = cutoffs
        self.user_ids: list[str] = []
        self.stage = ""
        self._values: dict[tuple[str, int], list[PerUser]] = {}

    def add(self, block: Block, stage: str) -> None:
        """The users of one block; `stage` is what the published lists are called."""
        self.stage = stage
        self.user_ids += block.user_ids
        hits = hits_of(block, block.lists[stage])
        wanted = np.bincount(block.takers, minlength=len(block.user_ids))
        for metric, measure in LIST_METRICS.items():
            for k in self.cutoffs:
                self._values.setdefault((metric, k), []).append(measure(hits, wanted, k))

    def at(self, users: pa.Array) -> dict[tuple[str, int], PerUser]:
        """Every metric of these users, NaN for those who were not judged."""
        places = pc.index_in(users, value_set=pa.array(self.user_ids, pa.string()))
        place = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
        whole = {key: np.concatenate([*parts, [np.nan]]) for key, parts in self._values.items()}
        return {key: values[place] for key, values in whole.items()}


def differences(ours: PublishedValues, theirs: PublishedValues) -> dict[Key, tuple[Interval, int]]:
    """Mean of ours minus mean of theirs with its interval, and how many users both means were taken over.

    Users of both nights are resampled together, so that one who was judged in both counts in both. The
    interval does not know that one week can be harder than another.
    """
    if not ours.user_ids or not theirs.user_ids:
        return {}
    users = pa.array(sorted({*ours.user_ids, *theirs.user_ids}), pa.string())
    now, then = ours.at(users), theirs.at(users)
    sample = Bootstrap([(side, key) for side in ("now", "then") for key in now])
    sample.add({("now", key): now[key] for key in now} | {("then", key): then[key] for key in then})
    return {
        Key(ours.stage, *key): (sample.difference(("now", key), ("then", key)), len(users)) for key in now
    }
