"""What `nightmill status` says of two nights."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from feature_store.partitions import Store
from feature_store.sections import Price
from jobs.llm.ledger import Entry, Ledger
from jobs.report.units import DASH
from jobs.status import bars, render_status

FIRST, SECOND = date(1998, 1, 7), date(1998, 1, 8)
# 12 questions, two of them answered before; nine rows of ten have values
COUNTS = {"requests": 12, "asked": 10, "cached": 2, "selected": 10, "written": 7, "carried_forward": 2}
FREE = Price(currency="USD", read=0, cached=0, written=0)


@pytest.fixture
def store(two_nights: Callable[[Mapping[str, int]], Store]) -> Store:
    return two_nights(COUNTS)


def lines(store: Store, price: Price = FREE) -> list[str]:
    return render_status(store, price, datetime.now(UTC) + timedelta(hours=3)).splitlines()


def test_status_has_a_line_for_every_table(store: Store) -> None:
    text = lines(store)
    (line,) = [line for line in text if line.startswith("interactions")]
    # one event on the 6th, and the days of both nights without any
    assert line.split() == ["interactions", "1998-01-08", "3", "h", "ago", "3", "1"]
    (line,) = [line for line in text if line.startswith("recommendations")]
    assert line.split() == ["recommendations", "-", "never", "0", "-"]


def test_status_says_what_the_models_tables_cover_and_cost(store: Store) -> None:
    ledger = Ledger(store.root)
    one = Entry("1998-01-07", "profile_items", "r1", "p", "m", "fake", "", 10, 3000, 2000, 400)
    ledger.write(one)
    # a shard that was killed, and the run that went on: both have paid
    for run, asked in (("r2", 1), ("r3", 2)):
        ledger.write(Entry("1998-01-08", "profile_items", run, "p", "m", "fake", "", asked, 500, 0, 100))
    text = lines(store, Price(currency="EUR", read=100, cached=10, written=1000))
    line = [line for line in text if line.startswith("item_profiles")][1]
    # 3 of 12 asked; 1,000 tokens read at 100 and 200 written at 1,000 a million
    assert line.split() == [
        *("item_profiles", "1998-01-08", "90%", "75%", "3", "1,200", "4,600", "0.30"),
        "█▃",
    ]
    assert "cost (EUR)" in "\n".join(text)


def test_without_a_price_there_is_no_cost_and_without_a_ledger_the_manifest_counts(store: Store) -> None:
    line = [line for line in lines(store) if line.startswith("item_profiles")][1]
    assert line.split()[2:] == ["90%", "17%", "10", "0", "0", DASH, "▁▁"]


def test_status_counts_the_refused_by_reason(store: Store) -> None:
    # Refused by ingest, whose three tables share an account, and kept beside one of them.
    assert lines(store)[-2:] == ["  items: 2 malformed", "  item_profiles: 2 truncated"]


def test_status_names_the_tables_that_are_behind(store: Store, publish, make_settings) -> None:
    assert "stale" not in lines(store)
    publish(make_settings(), "ingest", date(1998, 1, 10), {"items": [{"item_id": "i1"}], "users": []})
    text = lines(store)
    (first, *_) = text[text.index("stale") + 1 :]
    assert first.startswith("  interactions has no row since 1998-01-06, 4 days before 1998-01-10")


def test_bars_are_drawn_against_the_largest() -> None:
    assert bars([0, 7, 14]) == "▁▅█"
    assert bars([0, 0]) == "▁▁"
    assert bars([]) == ""
