from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import SettingsError
from feature_store.settings import load_settings
from jobs.sources.times import Clock

MOMENT = datetime(2014, 1, 1, tzinfo=UTC)
SECONDS = 1388534400


def _clock(**overrides):
    environ = {f"NIGHTMILL_SOURCE__{name.upper()}": value for name, value in overrides.items()}
    return Clock(load_settings(environ).source, "events.csv")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([SECONDS]),
        pa.array([SECONDS * 1000]),
        pa.array([SECONDS * 10**6]),
        pa.array([SECONDS * 10**9]),
        pa.array([float(SECONDS)]),
        pa.array([str(SECONDS * 1000)]),
        pa.array(["2014-01-01"]),
        pa.array(["2014-01-01 00:00:00.000000000"]),
        pa.array(["2014-01-01T02:00:00+02:00"]),
        pa.array(["2014-01-01 00:00:00 UTC"]),
        pa.array(["2014-01-01T00:00Z"]),
        pa.array([datetime(2014, 1, 1)]),
        pa.array([MOMENT]),
        pa.array([MOMENT.date()]),
        pa.array([SECONDS]).cast(pa.timestamp("s")),
        pa.array([SECONDS * 10**9]).cast(pa.timestamp("ns", "Asia/Tokyo")),
    ],
    ids=lambda column: f"{column.type} {column[0]}",
)
def test_one_moment_in_many_writings(column):
    assert _clock().moments(column).to_pylist() == [MOMENT]


@given(
    st.integers(10**8, 41 * 10**8 - 1),
    st.sampled_from([("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]),
)
def test_auto_finds_the_unit_of_any_time(seconds, unit):
    name, scale = unit
    auto, named = _clock(), _clock(time_unit=name)
    expected = [datetime.fromtimestamp(seconds, UTC)]
    assert auto.moments(pa.array([seconds * scale])).to_pylist() == expected
    assert named.moments(pa.array([seconds * scale])).to_pylist() == expected


def test_the_wrong_unit_names_the_column_an_example_the_year_and_the_unit_that_fits():
    with pytest.raises(
        SettingsError,
        match=r"timestamp = 1388534400000 in events\.csv .* year 459.*fits the unit 'ms'.*time_unit",
    ):
        _clock(time_unit="s").moments(pa.array([SECONDS * 1000]))


def test_a_typed_timestamp_in_the_wrong_unit_is_named_too():
    with pytest.raises(SettingsError, match=r"year 45970 \(type timestamp\[s\]\); it fits the unit 'ms'"):
        _clock().moments(pa.array([SECONDS * 1000]).cast(pa.timestamp("s")))


def test_a_file_that_changes_its_unit_half_way_is_named():
    clock = _clock()
    clock.moments(pa.array([SECONDS]))
    with pytest.raises(SettingsError, match="fits the unit 'ms'"):
        clock.moments(pa.array([SECONDS * 1000]))


def test_whole_numbers_may_be_dates_in_a_layout():
    assert _clock(time_format="%Y%m%d").moments(pa.array([20140101])).to_pylist() == [MOMENT]


def test_single_times_that_are_none_are_null():
    assert _clock().moments(pa.array([SECONDS, 0, -1, SECONDS * 1000, SECONDS])).null_count == 3
    texts = ["2014-01-01", "2014-02-30", "soon", "0001-01-01", "9999-12-31", None]
    assert _clock().moments(pa.array(texts)).to_pylist() == [MOMENT] + [None] * 5


def test_naive_times_are_those_of_the_zone():
    clock = _clock(time_zone="Europe/Berlin")
    naive, aware = clock.moments(pa.array(["2014-01-01 01:00:00", "2014-01-01T00:00:00Z"])).to_pylist()
    assert naive == aware == MOMENT


def test_an_hour_that_comes_twice_is_the_second_and_one_that_is_missing_the_moment_after():
    # Berlin: on 2021-10-31 from 03:00 back to 02:00, on 2021-03-28 from 02:00 on to 03:00, both at 01:00 UTC
    found = _clock(time_zone="Europe/Berlin").moments(
        pa.array(["2021-10-31 02:30:00", "2021-03-28 02:30:00"])
    )
    assert found.to_pylist() == [
        datetime(2021, 10, 31, 1, 30, tzinfo=UTC),
        datetime(2021, 3, 28, 1, tzinfo=UTC),
    ]


def test_a_layout_of_its_own():
    clock = _clock(time_format="%m/%d/%Y %I:%M:%S %p")
    found = clock.moments(
        pa.array(["11/13/2019 8:36:57 AM", "11/13/2019 12:00:00 AM", "2/30/2019 8:00:00 AM", "x"])
    )
    assert found.to_pylist() == [
        datetime(2019, 11, 13, 8, 36, 57, tzinfo=UTC),
        datetime(2019, 11, 13, tzinfo=UTC),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("time_zone", "Mars/Olympus", "not an IANA time zone"),
        ("time_unit", "hours", "time_unit"),
        ("encoding", "klingon", "not an encoding"),
        ("time_format", "%Y %z", "ISO 8601"),
    ],
)
def test_settings_that_cannot_be_are_refused(key, value, message):
    with pytest.raises(SettingsError, match=message):
        _clock(**{key: value})
