"""Our side of `nightmill bench quality`: the real jobs, night by night, and the lists they publish.

Nothing of the recommender is repeated here: the nights a ranker learns from run up to their candidates, the
judged night runs the whole chain, and what it published is read from the store.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store import spark
from feature_store.partitions import Partition, Store, read
from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from infra.benchmarks.processes import result
from jobs.backfill import Backfill
from jobs.cli import CHAIN, load_job
from jobs.step import Outcome, execute

# Groups that need no model; the names are those of [ranker] groups.
WITHOUT_GENERATED = ("behaviour", "recall")
LAST_OF_EARLIER = "fit_recall"  # earlier nights are learnt from by their candidates
TOP = 10


def run(nights: list[date], output: Path) -> dict[str, Any]:
    """Run the nights, the last one whole; write lists of every stage; seconds of each part.

    output gets ranker.parquet, without_generated.parquet, candidates.parquet and one file a channel.
    """
    settings, judged = load_settings(), nights[-1]
    ahead = CHAIN[: CHAIN.index(LAST_OF_EARLIER) + 1]
    rest = [name for name in CHAIN[len(ahead) :] if name != "evaluate"]
    seconds: dict[str, float] = {}
    with spark.session(settings):
        began = time.monotonic()
        Backfill(nights, settings, say).run(ahead)
        seconds["nights"] = time.monotonic() - began
        for name in rest:
            outcome = execute(load_job(name), judged, settings)
            say(outcome)
            seconds[name] = outcome.seconds
        facts = _write(Store(settings.data_root), judged, output)
        if not hasattr(settings.ranker, "groups"):
            return {"seconds": seconds} | facts
        settings = settings.model_copy(
            update={"ranker": settings.ranker.model_copy(update={"groups": WITHOUT_GENERATED})}
        )
        for name in ("train_ranker", "recommend"):
            execute(load_job(name), judged, settings)
        lists = _published(Store(settings.data_root), "recommendations", judged)
        _best(
            read("recommendations", lists.files, ["user_id", "item_id", "rank"]),
            "rank",
            output / "without_generated",
        )
    return {"seconds": seconds} | facts


def say(outcome: Outcome) -> None:
    """One line a job on stderr."""
    said = "; ".join(outcome.notes)
    print(f"{outcome.ds} {outcome.job}: {outcome.seconds:.1f} s {said}", file=sys.stderr, flush=True)


def _published(store: Store, table: str, ds: date) -> Partition:
    partition = store.published(table, ds)
    assert partition is not None, f"{table} of {ds} was published a moment ago"
    return partition


def _write(store: Store, ds: date, output: Path) -> dict[str, Any]:
    lists = read("recommendations", _published(store, "recommendations", ds).files)
    _best(lists, "rank", output / "ours")
    columns = ["user_id", "item_id", "rank", *(f"{channel}_rank" for channel in CHANNELS)]
    candidates = read("candidates", _published(store, "candidates", ds).files, columns)
    _best(candidates, "rank", output / "candidates")
    for channel in CHANNELS:
        _best(candidates, f"{channel}_rank", output / channel)
    pq.write_table(candidates.select(["user_id", "item_id", "rank"]), output / "recall.parquet")
    (ranker,) = read("rankers", _published(store, "rankers", ds).files).to_pylist()
    return {
        "stage": pc.unique(lists["stage"]).to_pylist(),
        "ranker": {
            name: value for name, value in ranker.items() if isinstance(value, str | int | float | list)
        },
    }


def _best(rows: pa.Table, rank: str, path: Path) -> None:
    """The first TOP of each user by a column of ranks, as the benchmark reads lists."""
    first = rows.filter(pc.less_equal(rows[rank], TOP))
    first = pa.table({"user_id": first["user_id"], "item_id": first["item_id"], "rank": first[rank]})
    pq.write_table(first, path.with_suffix(".parquet"))


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run([date.fromisoformat(ds) for ds in config["nights"]], Path(config["output"])))
