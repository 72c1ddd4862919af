"""The as-of join: for each row of the left side, the newest row of a table that was known at the row's time.

    match      all columns of the key are equal; a null never matches
    known      known_at <= time
    newest     the greatest known_at, and of rows known since the same moment the greatest as_of
    too old    time - as_of > the table's TTL: the newest row is not used then, and no older one instead of it

Rows of a table come in versions: a published partition has one known_at and one as_of for all its rows. The
join numbers the versions in that order and keeps, for each key, a bitmap of the versions that hold it; a left
row takes the highest bit at or below the last version known at its time. So the work grows with the rows of
the two sides and never with their product: neither a user with a million queries nor an item with a thousand
versions multiplies anything. Bitmaps are made from the key columns alone, and of the wide rows only those
that will be joined are shuffled. A small side is joined by comparing every version of the key, which takes
Spark fewer steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Versions in one word of a bitmap, a BIGINT.
WORD = 64
# A side with at most so many versions and rows is a small one.
SMALL_VERSIONS, SMALL_ROWS = 64, 500_000
# With more left rows than this, which rows of a table are joined is not told to every executor in advance.
ANNOUNCED_ROWS = 5_000_000

# known_at and as_of of each version, in order, as microseconds; a version's number is its place.
Versions = list[tuple[int, int]]


@dataclass(frozen=True)
class Side:
    """A table to join: rows of any number of versions, with its key, known_at, as_of and anything else.

    name: of the table, and of the struct column that its row becomes. key: columns of both sides.
    ttl_days: see feature_store.contract.Table.
    """

    name: str
    rows: "DataFrame"
    key: tuple[str, ...]
    ttl_days: int | None = None


def join(left: "DataFrame", time: str, sides: Sequence[Side]) -> "DataFrame":
    """The rows of `left`, each once, with a struct column for each side: the row known at `time`, or null.

    The struct has the columns of the side but for its key. No version of a side may have two rows for a key
    (of a large side Spark fails, naming table and key). Reads the sides more than once; keeps `left` cached
    where a side is large.
    """
    large = _versions_of_large(sides)
    joined = left
    for side in sides:
        if side.name not in large:
            joined = _compare(joined, time, side)
    if large:
        joined = _look_up(joined, time, [side for side in sides if side.name in large], large)
    return joined.select(*left.columns, *(_fresh(side, time) for side in sides))


def _versions_of_large(sides: Sequence[Side]) -> dict[str, Versions]:
    """The versions of every side that is not small."""
    times = (
        side.rows.selectExpr(
            f"{place} AS place", "unix_micros(known_at) AS known", "unix_micros(as_of) AS made"
        )
        for place, side in enumerate(sides)
    )
    every = reduce(lambda one, other: one.unionAll(other), times).dropna()
    counted = every.groupBy("place", "known", "made").count().collect()
    large = {}
    for place, side in enumerate(sides):
        of_side = [row for row in counted if row["place"] == place]
        if len(of_side) > SMALL_VERSIONS or sum(row["count"] for row in of_side) > SMALL_ROWS:
            large[side.name] = sorted((row["known"], row["made"]) for row in of_side)
    return large


def _compare(left: "DataFrame", time: str, side: Side) -> "DataFrame":
    """Add the struct of a small side: of all versions of a key the one in whose time the left row falls."""
    from pyspark.sql import functions as f

    next_known = f"lead(known_at) OVER (PARTITION BY {', '.join(side.key)} ORDER BY known_at, as_of)"
    rows = side.rows.dropna(subset=[*side.key, "known_at", "as_of"]).select(
        *(f.col(name).alias(f"_{name}") for name in side.key),
        _struct(side),
        f.expr(next_known).alias("_until"),
    )
    same_key = " AND ".join(f"{name} = _{name}" for name in side.key)
    within = f"{time} >= {side.name}.known_at AND (_until IS NULL OR {time} < _until)"
    joined = left.join(rows, f.expr(f"{same_key} AND {within}"), "left")
    return joined.drop(*(f"_{name}" for name in side.key), "_until")


def _look_up(
    left: "DataFrame", time: str, sides: Sequence[Side], versions: dict[str, Versions]
) -> "DataFrame":
    """Add the structs of large sides: first the number of the version to join, then its row."""
    for side in sides:
        left = _find(left, time, side, versions[side.name])
    # Read once for the rows wanted of each side, and once to join them.
    joined = left = left.persist()
    announce = left.count() <= ANNOUNCED_ROWS
    for side in sides:
        rows = _rows(side, versions[side.name], left if announce else None)
        joined = joined.join(rows, [*side.key, _number(side)], "left")
    return joined


def _find(left: "DataFrame", time: str, side: Side, versions: Versions) -> "DataFrame":
    """Add the number of the version to join, null where none was known."""
    from pyspark.sql import functions as f

    words = [f"_word{number}" for number in range(-(-len(versions) // WORD))]
    within = f"unix_micros({time}) >= _from AND (_until IS NULL OR unix_micros({time}) < _until)"
    return (
        left.join(f.broadcast(_intervals(left.sparkSession, versions)), f.expr(within), "left")
        .join(_bitmaps(side, versions, words), list(side.key), "left")
        .withColumn(_number(side), _newest(words))
        .drop("_from", "_until", "_last", *words)
    )


def _intervals(session: "SparkSession", versions: Versions) -> "DataFrame":
    """From when until when which version is the last that is known."""
    last = {known: number for number, (known, _) in enumerate(versions)}
    untils = [until for _, until in pairwise(last)] + [None] * bool(last)
    return _table(session, _from=list(last), _until=untils, _last=list(last.values()))


def _bitmaps(side: Side, versions: Versions, words: Sequence[str]) -> "DataFrame":
    """A row per key: bit n of word w is set when version w * WORD + n has a row for it."""
    from pyspark.sql import functions as f

    bit = f"shiftleft(1L, CAST(_number % {WORD} AS INT))"
    masks = [
        f.expr(f"coalesce(bit_or(CASE WHEN _number DIV {WORD} = {place} THEN {bit} END), 0L)").alias(word)
        for place, word in enumerate(words)
    ]
    bitmaps = _numbered(side, versions).groupBy(*side.key).agg(f.count("*").alias("_rows"), *masks)
    each_once = " + ".join(["0", *(f"bit_count({word})" for word in words)])
    key = f.concat_ws(", ", *(f.col(name).cast("string") for name in side.key))
    twice = f.raise_error(f.concat(f.lit(f"{side.name} has two rows of one version for the key "), key))
    checked = (
        f.when(f.expr(f"_rows = {each_once}"), f.col(word)).otherwise(twice).alias(word) for word in words
    )
    return bitmaps.select(*side.key, *checked)


def _newest(words: Sequence[str]) -> "Column":
    """The highest bit at or below _last, null when there is none."""
    from pyspark.sql import functions as f

    choices = ["CAST(NULL AS BIGINT)"]
    for place, word in enumerate(words):
        allowed = f"shiftrightunsigned(-1L, {WORD - 1} - CAST(_last % {WORD} AS INT))"
        bits = (
            f"CASE WHEN _last DIV {WORD} = {place} THEN {word} & {allowed} "
            f"WHEN _last DIV {WORD} > {place} THEN {word} END"
        )
        # The length of a number in binary is exact where a logarithm would be rounded.
        choices.insert(0, f"{place * WORD - 1} + length(bin(nullif({bits}, 0L)))")
    return f.expr(f"coalesce({', '.join(choices)})")


def _rows(side: Side, versions: Versions, wanted: "DataFrame | None") -> "DataFrame":
    """Key, number and struct of the rows of a side; with `wanted` of hardly any others than it asks for."""
    from pyspark.sql import functions as f

    key = [*side.key, _number(side)]
    numbered = _numbered(side, versions)
    rows = numbered.select(*side.key, f.col("_number").alias(_number(side)), _struct(side))
    if wanted is None:
        return rows
    # Hashes take little memory everywhere; the row too many that they let pass is not joined in the end.
    hashes = wanted.select(f.xxhash64(*key).alias("_hash")).distinct()
    return rows.join(f.broadcast(hashes), f.xxhash64(*key) == hashes["_hash"], "left_semi")


def _fresh(side: Side, time: str) -> "Column":
    """The struct of a side, null when it is older than the side's TTL."""
    from pyspark.sql import functions as f

    if side.ttl_days is None:
        return f.col(side.name)
    fresh = f.expr(f"{time} <= {side.name}.as_of + INTERVAL {side.ttl_days} DAYS")
    return f.when(fresh, f.col(side.name)).alias(side.name)


def _numbered(side: Side, versions: Versions) -> "DataFrame":
    """The rows with the number of their version as `_number`."""
    from pyspark.sql import functions as f

    known, made = [known for known, _ in versions], [made for _, made in versions]
    numbers = _table(side.rows.sparkSession, _known=known, _made=made, _number=list(range(len(versions))))
    same = f.expr("unix_micros(known_at) = _known AND unix_micros(as_of) = _made")
    keyed = side.rows.dropna(subset=list(side.key))
    return keyed.join(f.broadcast(numbers), same).drop("_known", "_made")


def _struct(side: Side) -> "Column":
    from pyspark.sql import functions as f

    return f.struct(*(name for name in side.rows.columns if name not in side.key)).alias(side.name)


def _number(side: Side) -> str:
    return f"_{side.name}_version"


def _table(session: "SparkSession", **columns: Sequence[int | None]) -> "DataFrame":
    return session.createDataFrame(
        pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    )
