"""Champion and challenger: tonight's ranker replaces the one before unless that does better with confidence.

They are compared on the newest label window, which neither has learnt from: the champion is the newest ranker
whose own labels ended before that window began, tonight's stands in with a trial of the older windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store.partitions import Partition, read
from jobs.night import end_of
from jobs.recommender import metrics
from jobs.recommender.queries import Queries, ndcg_at_k, night_of
from jobs.recommender.ranker import Scorer


@dataclass(frozen=True)
class Comparison:
    """The row of the champion, and tonight's NDCG@10 minus its own over the same lists."""

    ds: date
    row: dict[str, Any]
    difference: metrics.Interval

    @property
    def stays(self) -> bool:
        """Whether the champion is better with confidence."""
        return self.difference.high < 0

    @property
    def reason(self) -> str:
        """Why it stays."""
        return (
            f"tonight's ranker is worse than that of {self.ds} on the newest window "
            f"({self.difference.mean:+.4f} NDCG@10, {self.difference.low:+.4f} to "
            f"{self.difference.high:+.4f}), which stays"
        )

    def columns(self) -> dict[str, Any]:
        """The comparison in the columns of `rankers`."""
        return {
            "champion_ds": self.ds,
            "challenger_lift": self.difference.mean,
            "challenger_low": self.difference.low,
            "challenger_high": self.difference.high,
        }


def compare(
    nights: Sequence[Partition], newest: Queries, challenger: NDArray[np.float64] | None
) -> Comparison | None:
    """Compare on the lists of the newest window; None where there is nobody or nothing to compare.

    challenger: NDCG@10 of each query.
    """
    if challenger is None or not len(newest.sizes):
        return None
    ds = night_of(int(newest.windows[0]))
    for night in reversed(nights):
        (row,) = read("rankers", night.files).to_pylist()
        learnt_until = row["input_max_event_time"]
        if row["status"] != "trained" or learnt_until is None or learnt_until >= end_of(ds):
            continue
        if set(row["features"]) - set(newest.rows.column_names):
            continue
        scorer = Scorer.stored(row, f"the ranker of {night.ds}")
        theirs = ndcg_at_k(newest, scorer.ordering(newest.rows))
        return Comparison(night.ds, row, metrics.paired_bootstrap(challenger, theirs))
    return None
