"""nightmill bench features: the as-of training join beside DuckDB's ASOF JOIN and Feast, and how it grows.

Some fifteen minutes on two cores, most of them Feast's and the 30 million events'.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from infra.benchmarks import made_history, one_more_night
from infra.benchmarks.asof_join import FEATURES, LABEL
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, side
from infra.environments import interpreter

ROUNDS = 3
# Of the full size: 1, 3, 10 and 30 million events, and users, items and labels in proportion.
SCALES = (0.1, 0.3, 1.0, 3.0)
# Days of events before one more night; both are longer than the longest window.
HISTORIES = (100, 1000)
# What default.toml advises for large data: its options are for short nights.
LARGE = {"NIGHTMILL_SPARK__JAVA_OPTIONS": "-XX:+UseParallelGC"}


def run(settings: Settings, say: Callable[[str], None]) -> list[Row]:
    """Every measure."""
    return [*measure(settings, say, SCALES, at=1.0), one_more(settings, say, HISTORIES)]


def one_more(settings: Settings, say: Callable[[str], None], histories: tuple[int, int]) -> Row:
    """A night of build_features behind the longer of two histories (days), beside the shorter one's."""
    seconds = []
    for days in histories:
        say(f"one more night of features behind {days:,} days of events")
        root = folder_of(settings.data_root, f"night-{days}")
        one_more_night.write(root, days)
        seconds.append(side("one_more_night", "ours", root=str(root))["seconds"])
        shutil.rmtree(root)
    return Row("night_seconds_long_vs_short_history", seconds[1], seconds[0], "s")


def measure(settings: Settings, say: Callable[[str], None], scales: Sequence[float], at: float) -> list[Row]:
    """The join at each scale; at the scale `at` beside the peers, whose rows must be the same."""
    seconds: dict[float, float] = {}
    for scale in scales:
        say(f"making {made_history.EVENTS * scale:,.0f} events and their features")
        root = folder_of(settings.data_root, f"history-{scale}")
        made_history.write(root, scale)
        say(f"joining {made_history.LABELS * scale:,.0f} labels with them in Spark")
        found = _side("ours", root, environ=LARGE)
        seconds[scale] = found["seconds"]
        if scale == at:
            peak = found["peak_gib"]
            peers = _peers(root, settings, say)
        shutil.rmtree(root)
    return [
        Row("asof_seconds_vs_duckdb", seconds[at], peers["duckdb"]["seconds"], "s"),
        Row("asof_seconds_vs_feast", seconds[at], peers["feast"]["seconds"], "s"),
        Row("growth_exponent", exponent(seconds), None, "power"),
        Row("peak_gib", peak, peers["duckdb"]["peak_gib"], "GiB"),
    ]


def _peers(root: Path, settings: Settings, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """What the peers took; NightmillError unless their rows are ours."""
    say("the same join in DuckDB")
    found = {"duckdb": _side("duckdb", root)}
    say("the same request to Feast, in an environment of its own")
    found["feast"] = _side("feast", root, rounds=1, python=interpreter("feast", Path(settings.cache_root)))
    rows = {name: content(root / name) for name in ("ours", *found)}
    for name in found:
        if rows[name] != rows["ours"]:
            raise NightmillError(f"Spark joined {rows['ours']} (rows, hash) and {name} {rows[name]}")
    return found


def _side(task: str, root: Path, rounds: int = ROUNDS, **how: Any) -> dict[str, Any]:
    return side("asof_join", task, root=str(root), output=str(root / task), rounds=rounds, **how)


def content(folder: Path) -> tuple[int, int]:
    """Rows in the Parquet files of a folder, and a hash of them in which order plays no part."""
    names = ", ".join((*LABEL, *(f"{entity}_{name}" for entity, name in FEATURES)))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ((rows, total),) = connection.execute(
            f"SELECT count(*), coalesce(sum(hash({names})), 0) FROM '{folder}/*.parquet'"
        ).fetchall()
    return rows, total


def exponent(seconds: dict[float, float]) -> float:
    """The power by which seconds grow with size, by least squares over their logarithms."""
    sizes, times = ([math.log(value) for value in values] for values in (seconds.keys(), seconds.values()))
    middle, mean = sum(sizes) / len(sizes), sum(times) / len(times)
    covariance = sum((x - middle) * (y - mean) for x, y in zip(sizes, times, strict=True))
    return covariance / sum((x - middle) ** 2 for x in sizes)
