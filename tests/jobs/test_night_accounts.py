"""Accounts of two steps over two nights."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from feature_store.partitions import Store
from jobs.night_accounts import render_steps, steps

FIRST, SECOND = date(1998, 1, 7), date(1998, 1, 8)
COUNTS = {
    "requests": 12,
    "asked": 10,
    "cached": 2,
    "prompt_tokens": 3000,
    "cached_tokens": 2000,
    "output_tokens": 400,
}


@pytest.fixture
def store(two_nights: Callable[[Mapping[str, int]], Store]) -> Store:
    return two_nights(COUNTS)


def test_steps_come_in_the_order_they_run_with_their_accounts(store: Store) -> None:
    rows = steps(store, [SECOND, FIRST])
    assert [(row.ds, row.job) for row in rows] == [
        (FIRST, "ingest"),
        (FIRST, "profile_items"),
        (SECOND, "ingest"),
        (SECOND, "profile_items"),
    ]
    profile = rows[1]
    assert (profile.requests, profile.asked, profile.cached, profile.quarantined) == (12, 10, 2, 1)
    assert (profile.rows, profile.tokens, profile.cached_tokens) == (1, 3400, 2000)


def test_a_step_published_before_the_run_did_nothing(store: Store) -> None:
    rows = steps(store, [FIRST], since=datetime.now(UTC) + timedelta(hours=1))
    assert [(row.ran, row.seconds, row.requests, row.tokens) for row in rows] == [(False, 0.0, 0, 0)] * 2


def test_the_table_of_steps_adds_up(store: Store) -> None:
    lines = render_steps(steps(store, [FIRST, SECOND])).splitlines()
    assert lines[0].split()[:4] == ["ds", "step", "seconds", "rows"]
    assert lines[-1].split()[0] == "all"
    assert lines[-1].split()[2:] == ["24", "20", "4", "6,000", "4,000", "800", "4"]


def test_a_night_without_any_step_is_an_empty_table(store: Store) -> None:
    assert render_steps(steps(store, [date(2001, 1, 1)])).splitlines()[-1].split()[0] == "all"
