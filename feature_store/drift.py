"""How far the columns of a table have moved since an earlier partition: the population stability index (PSI).

    PSI = sum over bins of (a - e) * ln(a / e),    e, a: shares of the rows, earlier and now

Numbers are binned at the deciles of the earlier partition, and a value on which several deciles fall (the
zeros of a count) is a bin of its own; the outer bins are open. Flags and categories are bins as they are: the
most frequent earlier ones, all others together. Of a list every element counts. Nulls and empty lists are a
bin too. An empty bin counts as half a row, so that no share is zero.

By custom less than .1 is little and more than .25 much (N. Siddiqi, Credit Risk Scorecards, 2006). Small
samples of one distribution differ as well: then PSI is distributed as (1/n + 1/m) times chi-squared with
bins - 1 degrees of freedom (B. Yurdakul, Statistical Properties of Population Stability Index, 2018), whose
99.9% point `chance` is.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from feature_store.contract import FLAG, INTEGER, NUMBER, TEXTS, Column, Table

LITTLE, MUCH = 0.1, 0.25
DECILES = [n / 10 for n in range(1, 10)]
CATEGORIES = 20
HALF_A_ROW = 0.5
# Of the standard normal distribution: 99.9% lie below.
Z999 = 3.0902


@dataclass(frozen=True)
class Shift:
    """How far a column moved; up to `chance` two samples of one distribution differ, 999 times of 1,000."""

    psi: float
    chance: float

    def exceeds(self, threshold: float) -> bool:
        """Whether it moved further than a threshold, and further than by chance."""
        return self.psi > max(threshold, self.chance)


def measured(table: Table) -> list[Column]:
    """The columns whose distribution means something: numbers, flags, categories, lists of categories."""
    columns = (c for c in table.columns if c.name not in table.key and not c.ages)
    return [c for c in columns if c.type in (INTEGER, NUMBER, FLAG, TEXTS) or c.categorical or c.values]


def compare(table: Table, earlier: Sequence[Path], now: Sequence[Path]) -> dict[str, Shift]:
    """The shift of every measured column between two partitions; nothing where either has no rows.

    A column that the earlier partition does not have yet is left out. earlier, now: Parquet files.
    """
    if not all(sum(pq.read_metadata(file).num_rows for file in files) for files in (earlier, now)):
        return {}
    known = set(pq.read_schema(earlier[0]).names)
    with duckdb.connect() as connection:
        for name, files in (("earlier", earlier), ("now", now)):
            connection.read_parquet([str(f) for f in files], hive_partitioning=False).create_view(name)
        return {c.name: index(_counts(connection, c)) for c in measured(table) if c.name in known}


def index(bins: Sequence[tuple[int, int]]) -> Shift:
    """The stability index of bins: how many rows each had earlier and has now, at least one of them some."""
    n, m = sum(before for before, _ in bins), sum(after for _, after in bins)
    psi = 0.0
    for before, after in bins:
        e, a = max(before, HALF_A_ROW) / n, max(after, HALF_A_ROW) / m
        psi += (a - e) * math.log(a / e)
    return Shift(psi, (1 / n + 1 / m) * _chi_squared_999(len(bins) - 1))


def _chi_squared_999(freedom: int) -> float:
    """The 99.9% point of chi-squared, by Wilson and Hilferty's approximation."""
    if not freedom:
        return 0.0
    spread = 2 / (9 * freedom)
    return freedom * float(1 - spread + Z999 * math.sqrt(spread)) ** 3


def _counts(connection: duckdb.DuckDBPyConnection, column: Column) -> list[tuple[int, int]]:
    """Rows by bin, earlier and now; the bins beyond the most frequent ones are one."""
    label = _label(connection, column)
    query = f"""
        SELECT count(*) FILTER (side = 0) AS before, count(*) FILTER (side = 1) AS after
        FROM (SELECT {label} AS bin, 0 AS side FROM earlier UNION ALL SELECT {label}, 1 FROM now)
        GROUP BY bin ORDER BY bin IS NOT NULL, before DESC, bin
    """
    found: list[tuple[int, int]] = connection.execute(query).fetchall()
    kept, others = found[: CATEGORIES + 1], found[CATEGORIES + 1 :]
    return kept + ([(sum(b for b, _ in others), sum(a for _, a in others))] if others else [])


def _label(connection: duckdb.DuckDBPyConnection, column: Column) -> str:
    """The SQL expression of the bin a row of the column is in."""
    name = f'"{column.name}"'
    if column.type == TEXTS:
        return f"unnest(CASE WHEN len({name}) > 0 THEN {name} ELSE [NULL] END)"
    if column.type not in (INTEGER, NUMBER):
        return name
    query = f"SELECT quantile_disc({name}, $deciles) FROM earlier WHERE {name} IS NOT NULL"
    (deciles,) = connection.execute(query, {"deciles": DECILES}).fetchone() or (None,)
    steps = [f"({name} > {edge!r})::INT" for edge in sorted(set(deciles or ()))]
    steps += [f"({name} >= {edge!r})::INT" for edge, times in Counter(deciles or ()).items() if times > 1]
    return " + ".join(steps) or f"CASE WHEN {name} IS NOT NULL THEN 0 END"
