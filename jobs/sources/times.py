"""Times of events: numbers in any unit, ISO 8601, other layouts, naive times of a zone."""

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.errors import SettingsError
from feature_store.sections import Source
from jobs.sources.values import numbers

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Seconds since 1970 outside these are not times of any recommender's events (1973 to 2100): no number is a
# time in two units.
FIRST_SECOND, LAST_SECOND = 10**8, 41 * 10**8
SECONDS_A_YEAR = 31_556_952
OFFSET = r"\d\d:\d\d\S*(Z|[+-]\d\d(:?\d\d)?)$"


class Clock:
    """Reads a time column of one file; its first rows decide if it holds numbers, and of which unit."""

    def __init__(self, source: Source, file: str, column: str = "") -> None:
        self.source, self.file, self.column = source, file, column or source.time
        self.unit: str = source.time_unit
        self.numeric: bool | None = None

    @property
    def problem(self) -> str:
        """What is wrong with a time that could not be read."""
        if self.source.time_format:
            return f"{self.column} is not a time in the layout of source.time_format"
        return (
            f"{self.column} is not a time of 1973 to 2100 (a number or ISO 8601; for other text set "
            "source.time_format)"
        )

    def moments(self, column: pa.Array) -> pa.Array:
        """The times in UTC; null for what is none.

        SettingsError where most numbers fit another unit than the settings' or the one the file began with.
        """
        if self.source.time_format and pa.types.is_integer(column.type):
            column = column.cast(pa.string())
        kind = column.type
        if pa.types.is_date(kind):
            column, kind = column.cast(pa.timestamp("s")), pa.timestamp("s")
        if pa.types.is_timestamp(kind):
            micros = self._scaled(column.cast(pa.int64()), kind.unit, f"type {kind}")
            return micros.cast(TIME) if kind.tz else self._located(micros.cast(pa.timestamp("us")))
        if pa.types.is_string(kind):
            return self._plausible(self._texts(column))
        return self._numbers(numbers(column))

    def _texts(self, column: pa.Array) -> pa.Array:
        if self.source.time_format:
            return self._located(_strptime(column, self.source.time_format))
        values = numbers(column)
        if self.numeric is None and len(column) > column.null_count:
            self.numeric = 2 * (len(values) - values.null_count) >= len(column) - column.null_count
        return self._numbers(values) if self.numeric else self._iso(column)

    def _iso(self, column: pa.Array) -> pa.Array:
        """Texts in ISO 8601, with the offset from UTC some of them name."""
        column = pc.replace_substring_regex(column, r" ?UTC$", "Z")
        column = pc.replace_substring_regex(column, r"(\.\d{6})\d+", r"\1")
        offset = pc.match_substring_regex(column, OFFSET)
        aware = _cast(pc.if_else(offset, column, None), TIME)
        naive = _cast(pc.if_else(offset, None, column), pa.timestamp("us"))
        return pc.coalesce(aware, self._located(naive))

    def _located(self, naive: pa.Array) -> pa.Array:
        """Naive times, which are those of source.time_zone, in UTC.

        When clocks are set back an hour comes twice; the second is meant, for a guess must not let an event
        be known before it happened. When they are set forward an hour is missing; a time in it is the first
        moment after.
        """
        zone = self.source.time_zone
        return pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="latest").cast(TIME)

    def _numbers(self, values: pa.Array) -> pa.Array:
        if self.unit == "auto" and (found := _fitting(values)):
            self.unit = found
        return self._scaled(
            values, "s" if self.unit == "auto" else self.unit, f"time_unit = {self.unit!r}"
        ).cast(TIME)

    def _scaled(self, values: pa.Array, unit: str, said: str) -> pa.Array:
        """Numbers of a unit as microseconds, null where they are outside 1973 to 2100."""
        scale = PER_SECOND[unit]
        fits = pc.and_(
            pc.greater_equal(values, FIRST_SECOND * scale), pc.less_equal(values, LAST_SECOND * scale)
        )
        other = _fitting(pc.if_else(fits, None, values))
        if other and 2 * (pc.sum(fits).as_py() or 0) < len(values) - values.null_count:
            self._complain(values.filter(pc.invert(fits))[0].as_py(), unit, said, other)
        values = pc.if_else(fits, values, None)
        if pa.types.is_floating(values.type):
            return pc.round(pc.multiply(values, 10**6 / scale)).cast(pa.int64())
        if scale > 10**6:
            return pc.divide(values, scale // 10**6)
        return pc.multiply(values, 10**6 // scale)

    def _complain(self, example: float, unit: str, said: str, other: str) -> None:
        year = 1970 + int(example / PER_SECOND[unit] / SECONDS_A_YEAR)
        raise SettingsError(
            f"{self.column} = {example:.0f} in {self.file} would be in the year {year} ({said}); it "
            f"fits the unit {other!r}: correct source.time_unit, or the file if it was written wrongly"
        )

    def _plausible(self, moments: pa.Array) -> pa.Array:
        low, high = (pa.scalar(second * 10**6).cast(TIME) for second in (FIRST_SECOND, LAST_SECOND))
        fits = pc.and_(pc.greater_equal(moments, low), pc.less_equal(moments, high))
        return pc.if_else(fits, moments, pa.scalar(None, TIME))


def _fitting(values: pa.Array) -> str | None:
    """The unit in which the median value lies between 1973 and 2100."""
    known = values.drop_null().to_numpy(zero_copy_only=False)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    middle = float(np.partition(known, len(known) // 2)[len(known) // 2])
    return next((u for u, n in PER_SECOND.items() if FIRST_SECOND <= middle / n <= LAST_SECOND), None)


def _cast(texts: pa.Array, to: pa.DataType) -> pa.Array:
    """ISO 8601 texts as times; one by one where some are none."""
    try:
        return texts.cast(to)
    except pa.ArrowInvalid:
        return pa.array([_iso_or_none(t, to.tz) for t in texts.to_pylist()], to)


def _iso_or_none(text: str | None, zone: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if (moment.tzinfo is not None) == (zone is not None) else None


def _strptime(texts: pa.Array, layout: str) -> pa.Array:
    """Texts in a layout of strptime as naive times; null for what is not in it."""
    found = pc.strptime(texts, format=layout, unit="us", error_is_null=True)
    # C's strptime takes 30 February for 2 March: Python's has the last word on the first days of a month.
    doubtful = pc.fill_null(pc.less_equal(pc.day(found), 3), False)
    wrong = [t for t in pc.unique(texts.filter(doubtful)).to_pylist() if not _is_date(t, layout)]
    known: Any = pc.is_in(texts, pa.array(wrong, pa.string()))
    return pc.if_else(known, pa.scalar(None, found.type), found)


def _is_date(text: str, layout: str) -> bool:
    try:
        datetime.strptime(text, layout)
    except ValueError:
        return False
    return True
