"""Interactions as integer codes: what every recall channel is fitted on."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Codes = NDArray[np.int32]
Floats = NDArray[np.float32]

COLUMNS = ["user_id", "item_id", "event_time", "weight"]
_MICROSECONDS_A_DAY = 86_400_000_000
_FAINTEST = 0.001


@dataclass(frozen=True)
class History:
    """Events before as_of; a code is the place of an id among the sorted ids, so codes sort as ids do.

    users, items, ages (days before as_of) and weights are parallel, one entry an event on a catalogue item.
    active_ages is the age of each user's last event, catalogue item or not: shape (len(user_ids),).
    """

    user_ids: pa.Array
    item_ids: pa.Array
    users: Codes
    items: Codes
    ages: Floats
    weights: Floats
    active_ages: Floats
    newest: datetime | None

    def active(self, days: int) -> Codes:
        """Users with an event in the last `days` days."""
        return np.flatnonzero(self.active_ages <= days).astype(np.int32)

    def seen(self, users: Codes) -> csr_matrix:
        """Items each of `users` has an event on, as a matrix of ones: shape (len(users), items)."""
        return self.taken[users]

    @cached_property
    def taken(self) -> csr_matrix:
        """Items each user has an event on, as a matrix of ones: shape (users, items)."""
        matrix = self._matrix(self.users, self.items, np.ones(len(self.users), dtype=np.float32))
        matrix.data[:] = 1
        return matrix

    @cached_property
    def liked(self) -> csr_matrix:
        """Ones where a user has an event that speaks for an item: shape (users, items)."""
        found = self.strengths()
        found.data[:] = 1
        return found

    def strengths(self, half_life_days: float = 0) -> csr_matrix:
        """How much each user wants each item: log2(1 + weight over the mean event weight), (users, items).

        An average event counts 1, whatever the unit of the weights, and a hundred do not count a hundred.
        Each event's weight halves every half-life (0: never), to a thousandth at the least: who has not
        been here for long still has a taste. An event that speaks against the item (weight 0 or below, a
        return) is left out.
        """
        liked = self.weights > 0
        weights = self.weights[liked].astype(np.float64)
        relative = weights / weights.mean() if len(weights) else weights
        if half_life_days:
            relative *= np.maximum(np.exp2(-self.ages[liked] / half_life_days), _FAINTEST)
        strength = self._matrix(self.users[liked], self.items[liked], relative)
        strength.data = np.log2(1 + strength.data).astype(np.float32)
        strength.eliminate_zeros()
        return strength

    def _matrix(self, users: Codes, items: Codes, values: NDArray[np.floating]) -> csr_matrix:
        matrix = csr_matrix((values, (users, items)), shape=(len(self.user_ids), len(self.item_ids)))
        matrix.sum_duplicates()
        return matrix


def encode(interactions: pa.Table, catalogue: pa.ChunkedArray, as_of: datetime) -> History:
    """Encode events; those on items that have left the catalogue tell who is active and nothing else."""
    user_ids = _sorted_ids(interactions["user_id"])
    item_ids = _sorted_ids(catalogue)
    users = codes(interactions["user_id"], user_ids)
    items = codes(interactions["item_id"], item_ids)
    moment = interactions["event_time"].cast(pa.int64()).to_numpy()
    last = int(as_of.timestamp() * 1_000_000)
    ages = ((last - moment) / _MICROSECONDS_A_DAY).astype(np.float32)
    active_ages = np.full(len(user_ids), np.inf, dtype=np.float32)
    np.minimum.at(active_ages, users, ages)
    listed = items >= 0
    return History(
        user_ids=user_ids,
        item_ids=item_ids,
        users=users[listed],
        items=items[listed],
        ages=ages[listed],
        weights=interactions["weight"].to_numpy().astype(np.float32)[listed],
        active_ages=active_ages,
        newest=pc.max(interactions["event_time"]).as_py(),
    )


def codes(column: pa.ChunkedArray, ids: pa.Array) -> Codes:
    """The code of each id in a column, -1 where it has none."""
    return pc.fill_null(pc.index_in(column, value_set=ids), -1).to_numpy().astype(np.int32)


def _sorted_ids(column: pa.ChunkedArray) -> pa.Array:
    ids = pc.unique(column)
    return ids.take(pc.sort_indices(ids))
