"""nightmill bench quality: the published lists beside simple models and RecTools' two stages, on real data.

Each set is cut at one moment for everybody; all sides learn from what was before it and are judged on the
same users by the same code. docs/quality.md has the protocol. Some twenty minutes on two cores for all three.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from infra.benchmarks import quality_peers
from infra.benchmarks.measures import Row, render
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
    # Installed on first use: where that fails it should not be after minutes.
    rectools = interpreter("rectools", Path(settings.cache_root))
    found: list[Row] = []
    for one in choose(data, sets, folder_of(settings.data_root, "sources")):
        measured = measure(one, settings.data_root / one.name, rectools, say)
        # Said as soon as it is known: a later set may fail, and takes minutes.
        say(f"{one.name}:\n{render(measured, {}, 'table')}")
        found += measured
    return found


def measure(one: Set, root: Path, rectools: Path, say: Callable[[str], None]) -> list[Row]:
    """The rows of one set; everything is written under root. rectools: the python that has it."""

    def tell(text: str) -> None:
        say(f"{one.name}: {text}")

    environ = {**one.environ, "NIGHTMILL_DATA": str(root / "data")}
    settings = load_settings(os.environ | environ)
    raw = tables.read(settings)
    for note in one.notes:
        tell(note)
    if raw.refused:
        first = raw.refused[0]
        tell(f"{len(raw.refused):,} rows cannot be used, such as {first.where}: {first.problem}")
    cut = split(raw.events)
    tell(f"split at {cut.moment:%Y-%m-%d}, {cut.days} days, {len(cut.relevant):,} users to judge")
    folder = folder_of(root, "lists")
    prepare(folder, cut, raw.items)
    nights = [str(ds) for ds in cut.nights(settings.ranker.windows)]
    tell(f"our nights {', '.join(nights)}")
    found = side("quality_nights", "ours", environ | horizon(cut), nights=nights, folder=str(folder))
    tell(about(found))
    seconds = {"ours": sum(found["seconds"].values())} | peers(cut, folder, rectools, tell)
    return rows(one.name, cut, folder, raw.items.num_rows, seconds)


def peers(cut: Split, folder: Path, rectools: Path, tell: Callable[[str], None]) -> dict[str, float]:
    """Seconds of each peer; its lists are in the folder."""
    seconds = {}
    for peer in quality_peers.SIDES:
        found = side("quality_peers", peer, folder=str(folder), days=cut.days)
        tell(f"{peer} with {found['setting']}")
        seconds[peer] = found["seconds"]
    tell("RecTools, in an environment of its own")
    how: dict[str, Any] = {"folder": str(folder), "days": cut.days, "threads": cores()}
    try:
        seconds["rectools"] = side("rectools_peer", "rectools", python=rectools, **how)["seconds"]
    except NightmillError as error:
        tell(f"no row beside RecTools, which cannot learn from this data: {error}")
    return seconds


def about(found: Mapping[str, Any]) -> str:
    """A line on our side: the ranker, the verdicts behind it, and where the time went."""
    verdicts = ", ".join(f"{group} {verdict}" for group, verdict in sorted(found["verdicts"].items()))
    seconds = ", ".join(f"{part} {value:.0f} s" for part, value in found["seconds"].items())
    learnt = ", ".join(found["feature_groups"])
    return f"ranker {found['status']}, learnt from {learnt} (verdicts: {verdicts or 'none'}); {seconds}"


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
        "NIGHTMILL_TUNING__DAYS": str(cut.history_days + 1),
        "NIGHTMILL_RANKER__HORIZON_DAYS": days,
        "NIGHTMILL_EVALUATE__HORIZON_DAYS": days,
        "NIGHTMILL_DRIFT__WARN": "0",
    }


def rows(name: str, cut: Split, folder: Path, items: int, seconds: Mapping[str, float]) -> list[Row]:
    """Our lists beside every other, with intervals of the differences over the same users.

    seconds: of ours and of each peer that there are lists of.
    """
    peers = [peer for peer in seconds if peer != "ours"]
    stages = ("ours", "without_generated", "candidates", *CHANNELS, *peers)
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
        *(against(peer, peer) for peer in reversed(peers)),
        against("merged_recall", "candidates"),
        against("without_generated", "without_generated"),
        Row(f"users_judged/{name}", len(cut.relevant), None, "users"),
        Row(f"items/{name}", items, None, "items"),
        Row(f"candidate_recall/{name}", _candidate_recall(folder, cut), None, "share of new items"),
        Row(f"horizon_days/{name}", cut.days, None, "days"),
        *(Row(f"seconds_{side_}/{name}", value, None, "s") for side_, value in seconds.items()),
    ]


def _ndcg(path: Path, cut: Split) -> metrics.PerUser:
    """NDCG of a file of lists for each judged user; somebody without a list has 0."""
    return metrics.ndcg_at_k(_lists(path, cut), list(cut.relevant.values()), K)


def _candidate_recall(folder: Path, cut: Split) -> float:
    """Share of what a user went on to take that was among the candidates, the mean over users."""
    found = _lists(folder / "recall.parquet", cut)
    size = max(map(len, found))
    return float(metrics.candidate_recall_at_n(found, list(cut.relevant.values()), size).mean())


def _lists(path: Path, cut: Split) -> list[list[str]]:
    """The list of each judged user, best first, whatever the order of rows in the file."""
    order: list[tuple[str, str]] = [(name, "ascending") for name in ("user_id", "rank", "item_id")]
    found = pq.read_table(path).sort_by(order)
    by_user: dict[str, list[str]] = {user: [] for user in cut.relevant}
    for user, item in zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True):
        by_user[user].append(item)
    return list(by_user.values())
