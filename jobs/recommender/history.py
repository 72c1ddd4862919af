"""Interactions as integer codes: what every recall channel is fitted on."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Codes = NDArray[np.int32]
Floats = NDArray[np.float32]

COLUMNS = ["user_id", "item_id", "event_time", "weight"]
_MICROSECONDS_A_DAY = 86_400_000_000


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
        row_of = np.full(len(self.user_ids), -1, dtype=np.int32)
        row_of[users] = np.arange(len(users), dtype=np.int32)
        rows = row_of[self.users]
        wanted = rows >= 0
        ones = np.ones(int(wanted.sum()), dtype=np.float32)
        shape = (len(users), len(self.item_ids))
        matrix = csr_matrix((ones, (rows[wanted], self.items[wanted])), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
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
