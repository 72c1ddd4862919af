"""A made-up shop: sixty days of events, the features of every night, and labels; as large as wanted.

Popularity of items follows Zipf's law, activity of users a milder power, and a user's events come in days of
much and many days of nothing. A row depends on its number alone: the same size gives the same files.
"""

from pathlib import Path

import duckdb

DAYS = 60
FIRST_DAY = "2026-01-01"
PUBLISHED_AFTER_HOURS = 6
# At full size: 10 million events of 200,000 users on 50,000 items, 1 million of the events are labels.
EVENTS, USERS, ITEMS, LABELS = 10_000_000, 200_000, 50_000, 1_000_000

COUNTS = ("events_1d", "events_7d", "events_30d", "events_60d")
RATIOS = ("share_7d", "share_30d", "trend_7d", "trend_1d")
ENTITIES = ("user", "item")


def write(folder: Path, scale: float) -> None:
    """Write labels.parquet, and user/ and item/ with a file of features for each of DAYS nights."""
    with duckdb.connect(str(folder / "scratch.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_events(scale))
        for entity in ENTITIES:
            (folder / entity).mkdir()
            connection.execute(_features(entity))
            for day in range(DAYS):
                night = f"SELECT * EXCLUDE (day) FROM features WHERE day = {day} ORDER BY {entity}_id"
                connection.execute(f"COPY ({night}) TO '{folder / entity / f'{day:03d}.parquet'}'")
            connection.execute("DROP TABLE features")
        labels = f"SELECT * EXCLUDE (day) FROM events ORDER BY hash(row_id) LIMIT {int(LABELS * scale)}"
        connection.execute(f"COPY ({labels}) TO '{folder / 'labels.parquet'}'")
    (folder / "scratch.duckdb").unlink()


def _draw(number: int) -> str:
    """SQL of a draw from [0, 1) for a row i, another for each number."""
    return f"(hash(i * 16 + {number}) / 18446744073709551616.0)"


def _events(scale: float) -> str:
    users, items = int(USERS * scale), int(ITEMS * scale)
    return f"""
        CREATE TABLE events AS
        WITH drawn AS (
            SELECT
                i,
                floor(pow({users}, 0.3 + 0.7 * {_draw(1)}))::BIGINT AS u,
                floor(pow({items}, {_draw(2)}))::BIGINT AS item
            FROM range({int(EVENTS * scale)}) AS numbers(i)
        ), dated AS (
            -- three events in four fall on one of the user's few busy days
            SELECT *, floor({DAYS} * CASE
                WHEN {_draw(3)} < 0.75 THEN hash(u * 8 + hash(i) % 6) / 18446744073709551616.0
                ELSE {_draw(4)}
            END)::INTEGER AS day
            FROM drawn
        )
        SELECT
            i AS row_id,
            'user-' || u AS user_id,
            'item-' || item AS item_id,
            day,
            TIMESTAMPTZ '{FIRST_DAY} 00:00:00+00'
                + to_microseconds(((day * 86400 + 86399 * {_draw(5)}) * 1e6)::BIGINT) AS query_time
        FROM dated
    """


def _features(entity: str) -> str:
    """Of every night and every user or item with an event until then."""
    key = f"{entity}_id"
    window = f"PARTITION BY {key} ORDER BY day ROWS"
    return f"""
        CREATE TABLE features AS
        WITH daily AS (
            SELECT {key}, day, count(*) AS events FROM events GROUP BY ALL
        ), nights AS (
            SELECT known.{key}, nights.day, coalesce(daily.events, 0) AS events
            FROM (SELECT {key}, min(day) AS first_day FROM daily GROUP BY ALL) AS known
            JOIN (SELECT range::INTEGER AS day FROM range({DAYS})) AS nights ON nights.day >= known.first_day
            LEFT JOIN daily ON daily.{key} = known.{key} AND daily.day = nights.day
        ), counted AS (
            SELECT
                {key}, day, events AS events_1d,
                sum(events) OVER ({window} 6 PRECEDING)::BIGINT AS events_7d,
                sum(events) OVER ({window} 29 PRECEDING)::BIGINT AS events_30d,
                sum(events) OVER ({window} 59 PRECEDING)::BIGINT AS events_60d
            FROM nights
        )
        SELECT
            *,
            events_7d / 30.0::DOUBLE AS share_7d,
            events_30d / 60.0::DOUBLE AS share_30d,
            events_7d / events_60d::DOUBLE AS trend_7d,
            events_1d / events_60d::DOUBLE AS trend_1d,
            TIMESTAMPTZ '{FIRST_DAY} 00:00:00+00' + to_days(day + 1) AS as_of,
            as_of + to_hours({PUBLISHED_AFTER_HOURS}) AS known_at
        FROM counted
    """
