"""Our side of `nightmill bench quality`: the real jobs, night by night, and the lists they publish.

Nothing of the recommender is repeated here: the nights a ranker learns from run up to their candidates, the
judged night runs the whole chain, and what it published is read from the store.
"""

import json
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import dataset

from feature_store import spark
from feature_store.partitions import Store, read
from feature_store.sections import Settings
from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from infra.benchmarks.processes import result
from jobs.backfill import Backfill
from jobs.chain import CHAIN, load_job
from jobs.recommender.groups import GIVEN
from jobs.step import Outcome, execute

LAST_OF_EARLIER = "fit_recall"  # earlier nights are learnt from by their candidates
TOP = 10


def run(nights: list[date], folder: Path) -> dict[str, Any]:
    """Run the nights, the last one whole, and write the lists of every stage; seconds of each part.

    folder: has users.parquet, those whose lists are wanted; gets ours, without_generated, candidates and a
    file a channel, with user_id, item_id, rank up to TOP, and recall.parquet with all candidates.
    """
    settings, judged = load_settings(), nights[-1]
    lists = Lists(Store(settings.data_root), judged, folder)
    with spark.session(settings):
        seconds = run_chain(nights, settings)
        ranker = lists.ranker()
        lists.write("recommendations", "rank", "ours")
        lists.write("candidates", "rank", "candidates")
        for channel in CHANNELS:
            lists.write("candidates", f"{channel}_rank", channel)
        lists.write("candidates", "rank", "recall", settings.recall.candidates)
        learnt = settings.ranker.model_copy(update={"groups": GIVEN})
        for name in ("train_ranker", "recommend"):
            say(execute(load_job(name), judged, settings.model_copy(update={"ranker": learnt})))
        lists.write("recommendations", "rank", "without_generated")
    return {"seconds": seconds} | ranker


def run_chain(nights: list[date], settings: Settings) -> dict[str, float]:
    """Run the nights up to their candidates and the last one whole; seconds of each part."""
    ahead = CHAIN[: CHAIN.index(LAST_OF_EARLIER) + 1]
    rest = [name for name in CHAIN[len(ahead) :] if name != "evaluate"]
    began = time.monotonic()
    Backfill(nights, settings, say).run(ahead)
    seconds = {f"{len(nights)} nights up to {LAST_OF_EARLIER}": time.monotonic() - began}
    for name in rest:
        outcome = execute(load_job(name), nights[-1], settings)
        say(outcome)
        seconds[name] = outcome.seconds
    return seconds


def say(outcome: Outcome) -> None:
    """One line a job on stderr."""
    said = "; ".join(outcome.notes)
    print(f"{outcome.ds} {outcome.job}: {outcome.seconds:.1f} s {said}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Lists:
    """What a night published, as the benchmark reads lists."""

    store: Store
    ds: date
    folder: Path

    def ranker(self) -> dict[str, Any]:
        """Whether the night has a ranker, the groups it learnt from, and the verdict on each."""
        (row,) = read("rankers", self._files("rankers"), ["status", "feature_groups"]).to_pylist()
        verdicts = read("ablations", self._files("ablations"), ["feature_group", "verdict"]).to_pylist()
        return row | {"verdicts": {row["feature_group"]: row["verdict"] for row in verdicts}}

    def write(self, table: str, rank: str, name: str, top: int = TOP) -> None:
        """The first `top` of each wanted user by a column of ranks."""
        users = pq.read_table(self.folder / "users.parquet")["user_id"].combine_chunks()
        wanted = pc.field("user_id").isin(users) & (pc.field(rank) <= top)
        rows = dataset.dataset(list(map(str, self._files(table)))).to_table(
            {"user_id": pc.field("user_id"), "item_id": pc.field("item_id"), "rank": pc.field(rank)},
            filter=wanted,
        )
        pq.write_table(rows, self.folder / f"{name}.parquet")

    def _files(self, table: str) -> list[Path]:
        partition = self.store.published(table, self.ds)
        assert partition is not None, f"{table} of {self.ds} was published a moment ago"
        return partition.files


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run([date.fromisoformat(ds) for ds in config["nights"]], Path(config["folder"])))
