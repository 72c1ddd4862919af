"""What `align_embeddings` takes, in seconds and in memory, over a made shop."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.benchmarks import made_tastes
from infra.benchmarks.made_night import DS, RUN
from infra.benchmarks.made_tastes import Scale
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, result, side

SCALE = Scale(users=100_000, items=50_000, events=5_000_000)


def measure(settings: Settings, say: Callable[[str], None], scale: Scale = SCALE) -> list[Row]:
    """Seconds and memory of the job over a made shop; what it reads is made in a process before it."""
    root = folder_of(settings.data_root, "tastes")
    say(f"making {scale.events:,} events of {scale.users:,} users on {scale.items:,} items")
    side("cold_start_speed", "make", root=str(root), scale=scale)
    say("align_embeddings")
    found = side("cold_start_speed", "align", root=str(root), scale=scale)
    return [
        Row("align_seconds", found["seconds"], None, "s"),
        Row("align_peak_gib", found["peak_gib"], None, "GiB"),
    ]


def make(root: Path, scale: Scale) -> dict[str, Any]:
    """The tables."""
    made_tastes.write(root, scale)
    return {}


def align(root: Path, scale: Scale) -> dict[str, Any]:
    """The job."""
    from feature_store.partitions import Store
    from jobs.chain import load_job
    from jobs.night import Night

    settings = load_settings().model_copy(update={"data_root": root})
    night = Night(DS, settings, Store(root), made_tastes.partitions(root), RUN)
    began = time.monotonic()
    load_job("align_embeddings").run(night)
    return {"seconds": time.monotonic() - began}


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    tasks: dict[str, Callable[[Path, Scale], dict[str, Any]]] = {"make": make, "align": align}
    result(tasks[sys.argv[1]](Path(config["root"]), Scale(*config["scale"])))
