"""Past moments to judge recall by: what was known before each, and what users took in the time after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, History, codes, encode

# Windows of one length that are judged together, and how often that length is doubled to find users.
_TOGETHER, _DOUBLINGS = 4, 4


@dataclass(frozen=True)
class Window:
    """A past moment, `start`, and what active users took from then until before `stop`.

    history: events before `start`. users: codes of those who took something. relevant: what they took, as
    ones, and seen: what may not be proposed to them, both of shape (len(users), items).
    """

    start: datetime
    stop: datetime
    history: History
    users: Codes
    relevant: csr_matrix
    seen: csr_matrix


@dataclass(frozen=True)
class Judging:
    """Whom windows judge by: at most `users` in all, at least `min_users`, active in the last `active_days`.

    repeats: whether what a user had taken before counts when it is taken again.
    """

    users: int
    min_users: int
    active_days: int
    repeats: bool
    seed: int


def find(
    events: pa.Table, catalogue: pa.ChunkedArray, end: datetime, length: timedelta, judging: Judging
) -> list[Window]:
    """The newest windows that end at `end` or before and together have enough users, newest first.

    Several windows of the length are pooled where one has too few users; where that is not enough the length
    is doubled. Empty where all of the past is not enough. Events at or after `end` are never looked at.
    """
    events = events.filter(pc.less(events["event_time"], pa.scalar(end, events["event_time"].type)))
    oldest = pc.min(events["event_time"]).as_py()
    for doubled in range(_DOUBLINGS + 1):
        found: list[Window] = []
        for start, stop in _spans(oldest, end, length * 2**doubled):
            left = judging.users - sum(len(window.users) for window in found)
            if 2 * left > judging.users:  # a window more costs as much as the first, for the few that lack
                found.append(_window(events, catalogue, start, stop, judging, left))
        found = [window for window in found if len(window.users)]
        if sum(len(window.users) for window in found) >= judging.min_users:
            return found
    return []


def _spans(oldest: datetime | None, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for back in range(_TOGETHER):
        stop = end - back * length
        if oldest is not None and oldest < stop - length:
            yield stop - length, stop


def _window(
    events: pa.Table,
    catalogue: pa.ChunkedArray,
    start: datetime,
    stop: datetime,
    judging: Judging,
    most: int,
) -> Window:
    times = events["event_time"]
    before = pc.less(times, pa.scalar(start, times.type))
    after = pc.and_not(pc.less(times, pa.scalar(stop, times.type)), before)
    history = encode(events.filter(before), catalogue, start)
    taken, seen = _matrix(events.filter(after), history), history.taken
    if judging.repeats:
        seen = csr_matrix(taken.shape, dtype=np.float32)
    relevant = (taken - taken.multiply(seen)).tocsr()
    relevant.eliminate_zeros()
    active = history.active(judging.active_days)
    users = _drawn(active[np.diff(relevant.indptr)[active] > 0], most, judging.seed)
    return Window(start, stop, history, users, relevant[users], seen[users])


def _matrix(events: pa.Table, history: History) -> csr_matrix:
    """Who took what (a return takes nothing), for users and items the history knows, as ones."""
    events = events.filter(pc.greater(events["weight"], 0))
    users, items = codes(events["user_id"], history.user_ids), codes(events["item_id"], history.item_ids)
    known = (users >= 0) & (items >= 0)
    ones = np.ones(int(known.sum()), dtype=np.float32)
    shape = (len(history.user_ids), len(history.item_ids))
    matrix = csr_matrix((ones, (users[known], items[known])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _drawn(users: Codes, most: int, seed: int) -> Codes:
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, most, replace=False))


def sample(events: pa.Table, most: int, seed: int) -> pa.Table:
    """All events of users drawn by lot, about `most` events in all; everything where there is no more.

    Whole histories, because half a history is another kind of user.
    """
    if events.num_rows <= most:
        return events
    ids = pc.unique(events["user_id"])
    ids = ids.take(pc.sort_indices(ids))
    share = most / events.num_rows
    chosen = np.random.default_rng(seed).random(len(ids)) < share
    return events.filter(pc.is_in(events["user_id"], value_set=ids.filter(pa.array(chosen))))
