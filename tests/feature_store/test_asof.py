"""The as-of join on random cases: Spark, DuckDB's ASOF JOIN and a plain-Python reference agree.

Hypothesis makes the cases; each has a number that is part of the key, so that one Spark job answers them all.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from feature_store import asof, spark
from feature_store.contract import INTEGER, TEXT, TIME
from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from jobs.sources.times import Clock

pytestmark = pytest.mark.spark

CASES = 1_000
TTL_DAYS = 2
KEY = ("case_id", "user_id", "item_id")
MICROSECOND, DAY = timedelta(microseconds=1), timedelta(days=1)
LEFT = pa.schema(
    [("row_id", INTEGER), ("case_id", INTEGER), ("user_id", TEXT), ("item_id", TEXT), ("query_time", TIME)]
)
RIGHT = pa.schema(
    [
        ("case_id", INTEGER),
        ("user_id", TEXT),
        ("item_id", TEXT),
        ("known_at", TIME),
        ("as_of", TIME),
        ("value", INTEGER),
    ]
)
Row = dict[str, Any]


def _berlin(*texts: str) -> list[datetime]:
    """Times of a shop in Berlin as `ingest` reads them."""
    source = load_settings({"NIGHTMILL_SOURCE__TIME_ZONE": "Europe/Berlin"}).source
    moments: list[datetime] = Clock(source, "events.csv").moments(pa.array(texts)).to_pylist()
    return moments


MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
MOMENTS = sorted(
    {
        *(MIDNIGHT + n * DAY + shift for n in range(4) for shift in (-MICROSECOND, 0 * DAY, MICROSECOND)),
        # the hour that is left out in March, and the one that comes twice in October
        *_berlin("2026-03-29T01:59:59", "2026-03-29T02:30:00", "2026-03-29T03:00:00"),
        *_berlin("2026-10-25T01:59:59", "2026-10-25T02:30:00", "2026-10-25T03:00:00"),
    }
)
# An age of exactly the TTL, and a microsecond on either side of it; known_at may be long after as_of.
AS_OF = sorted(
    {m - TTL_DAYS * DAY + shift for m in MOMENTS for shift in (-MICROSECOND, 0 * DAY, MICROSECOND)}
)

# "1" + "23" and "12" + "3" are one text, and two keys.
keys = st.sampled_from(
    [("1", "23"), ("12", "3"), ("1", "23"), ("12", "3"), ("1", None), (None, "3"), ("", "")]
)
moments = st.sampled_from([*MOMENTS, None])
versions = st.tuples(keys, moments, st.sampled_from([*MOMENTS, *AS_OF]))
cases = st.tuples(
    st.lists(st.tuples(keys, moments), min_size=1, max_size=4),
    st.lists(versions, min_size=2, max_size=8, unique=True),
)


@dataclass(frozen=True)
class Golden:
    """All cases, as rows; a right row's value is its place."""

    left: list[Row]
    right: list[Row]


@pytest.fixture(scope="module")
def golden() -> Golden:
    left: list[Row] = []
    right: list[Row] = []
    made = iter(range(CASES))

    @effort(max_examples=CASES, derandomize=True, database=None)
    @given(cases)
    def collect(case):
        number = next(made)
        for (user, item), moment in case[0]:
            row = (len(left), number, user, item, moment)
            left.append(dict(zip(LEFT.names, row, strict=True)))
        for (user, item), known_at, as_of in case[1]:
            row = (number, user, item, known_at, as_of, len(right))
            right.append(dict(zip(RIGHT.names, row, strict=True)))

    collect()
    return Golden(left, right)


@pytest.fixture(scope="module")
def session():
    with spark.session(load_settings({"NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})) as session:
        yield session


def _reference(golden: Golden, ttl_days: int | None) -> dict[int, int | None]:
    """The value joined to each left row, found by looking at every right row of its case."""
    by_case: dict[int, list[Row]] = {}
    for row in golden.right:
        by_case.setdefault(row["case_id"], []).append(row)
    return {row["row_id"]: _newest(row, by_case.get(row["case_id"], []), ttl_days) for row in golden.left}


def _newest(left: Row, rows: list[Row], ttl_days: int | None) -> int | None:
    time, key = left["query_time"], (left["user_id"], left["item_id"])
    if time is None or None in key:
        return None
    known = [
        (row["known_at"], row["as_of"], row["value"])
        for row in rows
        if (row["user_id"], row["item_id"]) == key and row["known_at"] is not None and row["known_at"] <= time
    ]
    if not known:
        return None
    _, as_of, value = max(known)
    too_old = ttl_days is not None and time - as_of > ttl_days * DAY
    return None if too_old else value


def _duckdb(golden: Golden, ttl_days: int | None) -> dict[int, int | None]:
    """DuckDB takes any of the rows with the same known_at, so only the one to take is left in."""
    left, right = (pa.Table.from_pylist(*side) for side in ((golden.left, LEFT), (golden.right, RIGHT)))
    with duckdb.connect() as connection:
        connection.register("labels", left)
        connection.register("versions", right)
        found = connection.execute(
            f"""
            SELECT row_id, CASE WHEN $ttl IS NULL OR query_time <= as_of + to_days($ttl) THEN value END
            FROM labels AS l ASOF LEFT JOIN (
                SELECT * FROM versions
                QUALIFY row_number() OVER (PARTITION BY {", ".join(KEY)}, known_at ORDER BY as_of DESC) = 1
            ) AS v
            ON {" AND ".join(f"l.{name} = v.{name}" for name in KEY)} AND l.query_time >= v.known_at
            """,
            {"ttl": ttl_days},
        ).fetchall()
    assert len(found) == len(golden.left)
    return dict(found)


def _spark(session, golden: Golden, ttl_days: int | None) -> dict[int, int | None]:
    left, right = (
        session.createDataFrame(pa.Table.from_pylist(*side))
        for side in ((golden.left, LEFT), (golden.right, RIGHT))
    )
    joined = asof.join(left, "query_time", [asof.Side("version", right, KEY, ttl_days)])
    assert joined.columns == [*LEFT.names, "version"]
    found = joined.selectExpr("row_id", "version.value AS value").toArrow().to_pylist()
    assert len(found) == len(golden.left)
    return {row["row_id"]: row["value"] for row in found}


@pytest.mark.parametrize("ttl_days", [None, TTL_DAYS])
def test_spark_duckdb_and_plain_python_agree_on_a_thousand_cases(session, golden, ttl_days):
    expected = _reference(golden, ttl_days)
    assert sum(value is not None for value in expected.values()) > CASES / 4
    assert _duckdb(golden, ttl_days) == expected
    assert _spark(session, golden, ttl_days) == expected


@pytest.mark.parametrize("limits", [{"ANNOUNCED_ROWS": 0}, {"SMALL_VERSIONS": 10**6}], ids=str)
def test_every_way_to_join_gives_the_same(session, golden, limits, monkeypatch):
    for name, value in limits.items():
        monkeypatch.setattr(asof, name, value)
    assert _spark(session, golden, TTL_DAYS) == _reference(golden, TTL_DAYS)


def test_a_user_with_many_queries_and_many_versions(session):
    queries, versions, seconds = 50_000, 200, 200
    left = session.range(queries).selectExpr("'ann' AS user_id", "timestamp_seconds(id) AS query_time", "id")
    right = session.range(versions).selectExpr(
        "'ann' AS user_id",
        f"timestamp_seconds(id * {seconds}) AS known_at",
        "known_at AS as_of",
        "id AS value",
    )
    joined = asof.join(left, "query_time", [asof.Side("version", right, ("user_id",))])
    (found,) = (
        joined.selectExpr(
            "count(*) AS rows",
            f"count_if(version.value = least({versions - 1}, id DIV {seconds})) AS right",
        )
        .toArrow()
        .to_pylist()
    )
    assert found == {"rows": queries, "right": queries}


def test_sides_without_rows_give_nulls(session, golden):
    assert set(_spark(session, Golden(golden.left, []), None).values()) == {None}


def test_two_rows_of_one_version_are_named(make_settings, monkeypatch):
    monkeypatch.setattr(asof, "SMALL_ROWS", 0)
    moment = "TIMESTAMP '2026-01-01'"
    key = ["'12' AS user_id", "'3' AS item_id"]

    def run():
        with spark.session(make_settings()) as session:
            right = session.range(2).selectExpr(
                *key, f"{moment} AS known_at", "known_at AS as_of", "id AS value"
            )
            left = session.range(1).selectExpr(*key, f"{moment} AS query_time")
            asof.join(left, "query_time", [asof.Side("taste", right, ("user_id", "item_id"))]).count()

    with pytest.raises(NightmillError, match="taste has two rows of one version for the key 12, 3"):
        run()
