"""Finding out what is new: 1,000 new requests against a million stored answers."""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_store.sections import Settings
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, result, side
from infra.benchmarks.stored import key_of, write_generations

PROMPT = "profile_item"
NEW = 1_000
STORED = 1_000_000
LARGER = 4
ROWS_PER_PART = 1_000  # as many as a flush writes; nothing is compacted
ROUNDS = 5


def measure(settings: Settings, say: Callable[[str], None]) -> list[Row]:
    """Seconds and memory of planning, its growth, and the same anti-join in pandas."""
    seconds, peaks, peer = {}, {}, None
    for stored in (STORED, LARGER * STORED):
        say(f"planning {NEW:,} requests against {stored:,} stored answers")
        root = folder_of(settings.data_root, f"stored-{stored}")
        write_generations(root, PROMPT, stored, ROWS_PER_PART)
        os.sync()  # or the kernel writes while planning is timed
        found = side("planning", "ours", root=str(root), stored=0)
        seconds[stored], peaks[stored] = found["seconds"], found["peak_gib"]
        if peer is None:
            peer = side("planning", "pandas", root=str(root), stored=0)
            night = side("planning", "ours", root=str(root), stored=stored)
    assert peer is not None
    return [
        Row("plan_1k_against_1m_seconds", seconds[STORED], peer["seconds"], "s"),
        Row("plan_peak_gib", peaks[STORED], peer["peak_gib"], "GiB"),
        Row(
            "plan_growth_exponent", exponent(seconds[STORED], seconds[LARGER * STORED], LARGER), None, "power"
        ),
        Row("plan_whole_night_of_1m_seconds", night["seconds"], None, "s"),
        Row("plan_whole_night_of_1m_peak_gib", night["peak_gib"], None, "GiB"),
    ]


def exponent(small: float, large: float, times: float) -> float:
    """The power by which seconds grow with size: 1 is proportional."""
    return math.log(large / small) / math.log(times)


def _ours(root: Path, keys: list[str]) -> int:
    from jobs.llm.generations import Generations

    return len(keys) - len(Generations(root).find(PROMPT, keys))


def _pandas(root: Path, keys: list[str]) -> int:
    import pandas as pd

    stored = pd.concat(
        [pd.read_parquet(part, columns=["key"]) for part in sorted((root / "generations" / PROMPT).iterdir())]
    )
    wanted = pd.Series(keys)
    return int((~wanted.isin(stored["key"])).sum())


def main() -> None:
    """One side: the median of five rounds, the first import included in none."""
    task, config = sys.argv[1], json.loads(sys.argv[2])
    plan: Callable[[Path, list[str]], int] = {"ours": _ours, "pandas": _pandas}[task]
    keys = [key_of(n) for n in range(config["stored"])] + [key_of(n, "new") for n in range(NEW)]
    taken: list[Any] = []
    for _ in range(1 if config["stored"] else ROUNDS):
        started = time.monotonic()
        new = plan(Path(config["root"]), keys)
        taken.append(time.monotonic() - started)
        if new != NEW:
            raise SystemExit(f"{task} found {new} new requests, not {NEW}")
    result({"seconds": sorted(taken)[len(taken) // 2]})


if __name__ == "__main__":
    main()
