"""nightmill bench quality: the published lists beside simple models and RecTools' two stages, on real data.

Each set is cut at one moment for everybody; all sides learn from what was before it and are judged on the
same users by the same code. docs/quality.md has the protocol. Some twenty minutes on two cores for all three.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.sections import Settings
from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from infra.benchmarks import quality_peers
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, side
from infra.benchmarks.quality_sets import Set, choose
from infra.benchmarks.quality_split import Split, split
from infra.environments import interpreter
from jobs.recommender import metrics
from jobs.recommender.threads import cores
from jobs.sources import tables

K = 10
UNIT = f"NDCG@{K}"
OPTIONS = ("data", "sets")  # what `nightmill bench quality` takes


def run(
    settings: Settings, say: Callable[[str], None], data: Path | None = None, sets: str = ""
) -> list[Row]:
    """Every measure of every set.

    data: a folder with interactions.parquet and items.parquet, or with such folders. sets: names with commas.
    """
    chosen = choose(data, sets, folder_of(settings.data_root, "sources"))
    return [row for one in chosen for row in measure(one, settings.data_root / one.name, say)]


def measure(one: Set, root: Path, say: Callable[[str], None]) -> list[Row]:
    """The rows of one set; everything is written under root."""
    for note in one.notes:
        say(note)
    environ = {**one.environ, "NIGHTMILL_DATA": str(root / "data")}
    settings = load_settings(os.environ | environ)
    raw = tables.read(settings)
    cut = split(raw.events)
    say(f"{one.name}: split at {cut.moment:%Y-%m-%d}, {cut.days} days, {len(cut.relevant):,} users to judge")
    folder = folder_of(root, "lists")
    prepare(folder, cut, raw.items)
    nights = cut.nights(getattr(settings.ranker, "windows", 3))
    say(f"{one.name}: our nights {', '.join(map(str, nights))}")
    found = side(
        "quality_nights", "ours", environ | horizon(cut), nights=list(map(str, nights)), output=str(folder)
    )
    seconds = {"ours": found["seconds"]}
    for peer in quality_peers.SIDES:
        seconds[peer] = side("quality_peers", peer, folder=str(folder))["seconds"]
    say(f"{one.name}: RecTools, in an environment of its own")
    python = interpreter("rectools", Path(settings.cache_root))
    seconds["rectools"] = side(
        "rectools_peer", "rectools", python=python, folder=str(folder), days=cut.days, threads=cores()
    )["seconds"]
    return rows(one.name, cut, folder, len(raw.items), seconds)


def prepare(folder: Path, cut: Split, items: pa.Table) -> None:
    """What the peers read: events before the moment, users to score, numbers of the catalogue."""
    pq.write_table(cut.before, folder / "before.parquet")
    pq.write_table(pa.table({"user_id": pa.array(list(cut.relevant), pa.string())}), folder / "users.parquet")
    first = pa.array([names[0] if names else None for names in items["categories"].to_pylist()], pa.string())
    columns = {"item_id": items["item_id"], "price": items["price"]}
    codes = {"category": first.dictionary_encode().indices}
    pq.write_table(pa.table(columns | codes), folder / "catalogue.parquet")


def horizon(cut: Split) -> dict[str, str]:
    """Settings that follow from the split, the same for every set; docs/quality.md says why each."""
    days = str(cut.days)
    return {
        "NIGHTMILL_TIME__MODE": "simulated",
        "NIGHTMILL_GENERATION__ENGINE": "none",
        "NIGHTMILL_ACTIVITY__DAYS": str(cut.history_days + 1),
        "NIGHTMILL_RANKER__HORIZON_DAYS": days,
        "NIGHTMILL_EVALUATE__HORIZON_DAYS": days,
        "NIGHTMILL_DRIFT__WARN": "0",
    }


def rows(name: str, cut: Split, folder: Path, items: int, seconds: Mapping[str, float]) -> list[Row]:
    """Our lists beside every other, with intervals of the differences over the same users."""
    stages = ("ours", "without_generated", "candidates", *CHANNELS, *quality_peers.SIDES, "rectools")
    values = {stage: _ndcg(folder / f"{stage}.parquet", cut) for stage in stages}
    best = max(CHANNELS, key=lambda channel: (values[channel].mean(), channel))

    def against(measure: str, stage: str, said: str = "") -> Row:
        ours, theirs = values["ours"], values[stage]
        difference = metrics.paired_bootstrap(ours, theirs)
        unit = f"{UNIT}{said and f' ({said})'}"
        mean = float(theirs.mean())
        return Row(
            f"ndcg10_vs_{measure}/{name}", float(ours.mean()), mean, unit, difference.low, difference.high
        )

    return [
        against("best_channel", best, best),
        against("rectools", "rectools"),
        *(against(peer, peer) for peer in quality_peers.SIDES),
        against("merged_recall", "candidates"),
        against("without_generated", "without_generated"),
        Row(f"users_judged/{name}", len(cut.relevant), None, "users"),
        Row(f"items/{name}", items, None, "items"),
        Row(f"horizon_days/{name}", cut.days, None, "days"),
        *(Row(f"seconds/{name}/{part}", value, None, "s") for part, value in seconds.items()),
    ]


def _ndcg(path: Path, cut: Split) -> metrics.PerUser:
    """NDCG of a file of lists for each judged user; somebody without a list has 0."""
    found = pq.read_table(path, columns=["user_id", "item_id", "rank"]).sort_by(
        [("user_id", "ascending"), ("rank", "ascending"), ("item_id", "ascending")]
    )
    by_user: dict[str, list[str]] = {}
    for user, item in zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True):
        by_user.setdefault(user, []).append(item)
    lists: Sequence[Sequence[str]] = [by_user.get(user, []) for user in cut.relevant]
    return np.asarray(metrics.ndcg_at_k(lists, list(cut.relevant.values()), K))
