"""Numbers in words."""

from datetime import date

import pytest

from jobs.report import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (4.2, "4.2 s"),
        (60, "1 min"),
        (372, "6 min 12 s"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert units.span(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (512, "512"), (51_234, "51.2 k"), (999_900, "1,000 k"), (5_120_000, "5.12 M")],
)
def test_short(value: float, text: str) -> None:
    assert units.short(value) == text


def test_small_numbers_of_things() -> None:
    assert units.counted(1, "user") == "1 user"
    assert units.counted(1204, "user") == "1,204 users"
    assert units.day(date(1998, 1, 7)) == "7 January 1998"


def test_metrics_and_intervals() -> None:
    assert units.metric(0.1034) == "0.103"
    assert units.metric(-0.0042, signed=True) == f"{units.MINUS}0.004"
    assert units.interval(-0.01, 0.02, signed=True) == f"{units.MINUS}0.010 to +0.020"
    assert units.interval(None, None) == units.DASH
    assert (units.percent(0.5), units.percent(0.021), units.percent(None)) == ("50%", "2.1%", units.DASH)


def test_a_lift_has_four_digits_and_a_hair_below_zero_no_minus() -> None:
    assert units.lift(0.00126) == "+0.0013"
    assert units.lift(-0.00002) == "+0.0000"
    assert units.lift_interval(-0.00126, 0.5) == f"{units.MINUS}0.0013 to +0.5000"
