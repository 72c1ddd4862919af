"""Both arms of the ranking among all items: the real nights with what finds cold items, and again without."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from feature_store import spark
from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.benchmarks.processes import result
from infra.benchmarks.quality_nights import Lists, run_chain

ARMS = ("with", "without")
TOP = 20


def without(settings: Settings) -> Settings:
    """The same settings without places for the channel cold_start among the candidates, or on the lists."""
    recall = settings.recall.model_copy(update={"cold_candidates": 0})
    recommend = settings.recommend.model_copy(update={"explore_share": 0.0})
    return settings.model_copy(update={"recall": recall, "recommend": recommend})


def run(nights: list[date], folder: Path) -> dict[str, Any]:
    """Run the nights twice in one data root, where what is the same is made once; seconds of each.

    folder: has users.parquet, those whose lists are wanted; gets a file an arm: user_id, item_id, rank.
    """
    settings = load_settings()
    lists = Lists(Store(settings.data_root), nights[-1], folder)
    seconds = {}
    with spark.session(settings):
        for arm, its in zip(ARMS, (settings, without(settings)), strict=True):
            seconds[arm] = sum(run_chain(nights, its).values())
            lists.write("recommendations", "rank", arm, TOP)
    return {"seconds": seconds}


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run([date.fromisoformat(ds) for ds in config["nights"]], Path(config["folder"])))
