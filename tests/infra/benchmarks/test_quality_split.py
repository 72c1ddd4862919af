"""One moment for everybody: midnight after the 90% quantile; nights to learn from before it."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from feature_store.contract import TIME
from feature_store.errors import NightmillError
from infra.benchmarks.quality_split import split

FIRST = datetime(2024, 1, 1, 9, tzinfo=UTC)


def events(*rows):
    """Rows of user, item, days after FIRST."""
    users, items, days = zip(*rows, strict=True)
    times = pa.array([FIRST + timedelta(days=n) for n in days], TIME)
    return pa.table({"user_id": users, "item_id": items, "event_time": times})


# Ten events a day, all of items of their own but one. The 90% quantile is on day 18, days 19 and 20 follow.
STEADY: list[tuple[str, str, float]] = [("a", f"i{day}-{n}", day) for day in range(19) for n in range(10)]
STEADY += [("a", "i3-0", 19 + n / 100) for n in range(14)] + [("a", "new", 20)]


def test_the_cut_is_the_midnight_after_the_quantile():
    found = split(events(*STEADY))
    assert found.moment == datetime(2024, 1, 20, tzinfo=UTC)
    assert (found.ds, found.days, found.history_days) == (date(2024, 1, 19), 2, 18)
    assert found.before.num_rows == 190


def test_relevant_is_what_is_new_to_a_user_with_a_history():
    found = split(events(*STEADY, ("b", "new", 19), ("a", "newer", 19.1)))
    # i3-0 was taken before, b has no history
    assert found.relevant == {"a": {"new", "newer"}}


def test_an_event_at_the_cut_is_after_it():
    midnight = 19 - 9 / 24
    found = split(events(*STEADY, ("a", "at", midnight), ("a", "just before", midnight - 1e-9)))
    assert found.relevant == {"a": {"at", "new"}}


def test_the_horizon_holds_the_last_event_and_no_whole_day_more():
    found = split(events(*STEADY, ("a", "last", 21.5)))
    last = FIRST + timedelta(days=21.5)
    assert found.moment + timedelta(days=found.days - 1) <= last < found.moment + timedelta(days=found.days)


def test_nights_are_a_horizon_apart_and_have_a_history():
    found = split(events(*STEADY))
    assert found.nights(3) == [date(2024, 1, day) for day in (13, 15, 17, 19)]
    # 18 days hold 8 horizons and the half of one that the oldest night needs
    assert len(found.nights(100)) == 1 + 8
    assert found.nights(0) == [date(2024, 1, 19)]


def test_when_the_newest_tenth_is_one_day_the_cut_is_before_it():
    rows = [("a", f"i{n}", 0) for n in range(5)] + [("a", f"j{n}", 3 + n / 100) for n in range(5)]
    found = split(events(*rows))
    assert found.moment == datetime(2024, 1, 4, tzinfo=UTC)
    assert found.relevant == {"a": {f"j{n}" for n in range(5)}}


@pytest.mark.parametrize(
    "rows", [[("a", "x", 0)], [("a", "x", 0), ("a", "x", 9)], [("a", "x", 0), ("b", "y", 9)]]
)
def test_nobody_to_judge_is_said(rows):
    with pytest.raises(NightmillError, match="nothing can be judged"):
        split(events(*rows))


def test_no_event_is_said():
    with pytest.raises(NightmillError, match="no events to split"):
        split(events(("a", "x", 0)).slice(0, 0))
