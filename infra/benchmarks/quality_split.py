"""A history cut in two at one moment for everybody: what is known before, and what users take afterwards."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.errors import NightmillError

QUANTILE = 0.9
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Split:
    """A cut at `moment`, a midnight, with a horizon of `days` that reaches to the last event.

    before: events before the moment. relevant: for each user with events before it, the items the user first
    took after it; users in order of their ids, none with an empty set. history_days: from the first event on.
    """

    moment: datetime
    days: int
    history_days: int
    before: pa.Table
    relevant: dict[str, set[str]]

    @property
    def ds(self) -> date:
        """The night whose lists are judged: it knows everything before the moment."""
        return self.moment.date() - timedelta(days=1)

    def nights(self, windows: int) -> list[date]:
        """The nights a ranker can learn from, oldest first, and the one that is judged.

        They are a horizon apart, so that the labels of each are known when the judged one learns from them;
        at most `windows`, and none with less than half a horizon of history.
        """
        count = min(windows, max(0, (2 * self.history_days - self.days) // (2 * self.days)))
        return [self.ds - timedelta(days=k * self.days) for k in range(count, -1, -1)]


def split(events: pa.Table) -> Split:
    """Cut at the midnight (UTC) after the 90% quantile of event times; before it, where nothing follows.

    events: user_id, item_id, event_time and more. NightmillError when nobody with a history takes anything
    new afterwards: there is nothing to judge.
    """
    times = events["event_time"].cast(pa.int64()).to_numpy()
    if not len(times):
        raise NightmillError("there are no events to split")
    first, last = int(times.min()), int(times.max())
    day = int(np.quantile(times, QUANTILE, method="lower")) // _DAY
    cut = (day if (day + 1) * _DAY > last else day + 1) * _DAY
    moment = datetime.fromtimestamp(cut / 1e6, UTC)
    early = pc.less(events["event_time"], pa.scalar(cut, pa.int64()).cast(TIME))
    before = events.filter(early)
    relevant = _relevant(before, events.filter(pc.invert(early)))
    if not relevant:
        raise NightmillError(
            f"nobody with an event before {moment:%Y-%m-%d} took anything new after it: nothing can be judged"
        )
    return Split(moment, (last - cut) // _DAY + 1, (cut - first) // _DAY, before, relevant)


def _relevant(before: pa.Table, after: pa.Table) -> dict[str, set[str]]:
    with duckdb.connect() as connection:
        for name, rows in (("before", before), ("after", after)):
            connection.register(f"{name}_", rows.select(["user_id", "item_id"]))
        found = connection.execute(
            """
            SELECT user_id, list(DISTINCT item_id)
            FROM after_ SEMI JOIN before_ USING (user_id) ANTI JOIN before_ USING (user_id, item_id)
            GROUP BY user_id ORDER BY user_id
            """
        ).fetchall()
    return {user: set(items) for user, items in found}
