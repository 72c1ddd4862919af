"""The other ranking of `nightmill bench cold-start`: all items, in the lists that the product publishes.

One moment for everybody, as in `bench quality`; a fifth of the items is held out before it as well, so that
the nights know nothing of them but the catalogue. The nights run with what finds cold items, and again
without: what these gain, and what it costs the others.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from infra.benchmarks.cold_start_known import keep_vectors
from infra.benchmarks.cold_start_nights import ARMS, TOP
from infra.benchmarks.cold_start_rows import clustered
from infra.benchmarks.cold_start_split import draw
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, side
from infra.benchmarks.quality import horizon
from infra.benchmarks.quality_sets import Set, environ
from infra.benchmarks.quality_split import Split, split
from jobs.recommender import metrics
from jobs.sources import tables
from jobs.sources.tables import Raw

NDCG_AT = 10
# How the tables of a trial are read back: their columns are those of the contracts.
SOURCE = {
    "format": "auto",
    "user": "user_id",
    "item": "item_id",
    "time": "event_time",
    "event": "event_type",
    "event_weights": {},
    "value": "weight",
    "title": "title",
    "description": "description",
    "categories": "categories",
    "price": "price",
    "brand": "brand",
    "item_attributes": [],
    "user_attributes": [],
    "item_time": "",
    "user_time": "",
    "max_refused_share": 0.0,
}
Relevant = Mapping[str, set[str]]


@dataclass(frozen=True)
class Cut:
    """A history before one moment, without the events on held-out items.

    known: the events that are left. cold, warm: what users with an event left first took afterwards, of the
    held-out items and of those with a known event; users in order of their ids, none with an empty set.
    """

    split: Split
    known: pa.Table
    held: list[str]
    cold: Relevant
    warm: Relevant


@dataclass(frozen=True)
class Measured:
    """A seed, judged: by arm, Recall of held-out items, NDCG of the others, and places of held-out items.

    recall: one value for each user in `Cut.cold`. ndcg: for each in `Cut.warm`. places: share of all places.
    """

    recall: Mapping[str, metrics.PerUser]
    ndcg: Mapping[str, metrics.PerUser]
    places: Mapping[str, float]


def cut(raw: Raw, seed: int) -> Cut:
    """Cut at one moment, and hide what came before it on a fifth of the items.

    NightmillError when nobody with an event left took a held-out item, or nobody another one.
    """
    whole = split(raw.events)
    held = draw(raw.events, raw.items["item_id"], seed)
    known = whole.before.filter(pc.invert(pc.is_in(whole.before["item_id"], pa.array(held, pa.string()))))
    users, items = (set(pc.unique(known[name]).to_pylist()) for name in ("user_id", "item_id"))
    relevant = {user: taken for user, taken in whole.relevant.items() if user in users}
    hidden = set(held)
    cold = {user: found for user, taken in relevant.items() if (found := taken & hidden)}
    warm = {user: found for user, taken in relevant.items() if (found := taken & items)}
    if not cold or not warm:
        raise NightmillError(
            f"seed {seed}: nobody took {'another' if cold else 'a held-out'} item afterwards"
        )
    return Cut(whole, known, held, cold, warm)


def prepare(folder: Path, one: Cut, raw: Raw) -> Mapping[str, str]:
    """Write what the nights may know as a source, and whose lists are wanted; the settings that read it."""
    source = folder_of(folder, "source")
    pq.write_table(one.known, source / "interactions.parquet")
    pq.write_table(raw.items, source / "items.parquet")
    users = pa.array(sorted({*one.cold, *one.warm}), pa.string())
    pq.write_table(pa.table({"user_id": users}), folder / "users.parquet")
    return environ({"location": str(source), **SOURCE})


def measure(one: Set, root: Path, seeds: Sequence[int], say: Callable[[str], None]) -> list[Row]:
    """The rows of one set; everything is written under root."""
    raw = tables.read(load_settings(os.environ | one.environ))
    found = []
    for seed in seeds:
        folder, held = folder_of(root, f"all-{seed}"), cut(raw, seed)
        own = {**prepare(folder, held, raw), **horizon(held.split), "NIGHTMILL_DATA": str(folder / "data")}
        keep_vectors(load_settings(os.environ | own))
        nights = [str(ds) for ds in held.split.nights(load_settings().ranker.windows)]
        say(f"{one.name}, seed {seed}, all items: nights {', '.join(nights)}")
        ran = side("cold_start_nights", "nights", own, nights=nights, folder=str(folder))
        found.append(judged(folder, held))
        seconds = ", ".join(f"{arm} in {value:.0f} s" for arm, value in ran["seconds"].items())
        say(f"{one.name}, seed {seed}, all items: {seconds}")
    return rows(one.name, found)


def judged(folder: Path, one: Cut) -> Measured:
    """The lists of both arms beside what users went on to take; somebody without a list has 0."""
    held = set(one.held)
    recall, ndcg, places = {}, {}, {}
    for arm in ARMS:
        lists = _lists(folder / f"{arm}.parquet")
        of_cold, of_warm = ([lists.get(user, []) for user in users] for users in (one.cold, one.warm))
        recall[arm] = metrics.recall_at_k(of_cold, list(one.cold.values()), TOP)
        ndcg[arm] = metrics.ndcg_at_k(of_warm, list(one.warm.values()), NDCG_AT)
        listed = [item for items in lists.values() for item in items]
        places[arm] = sum(item in held for item in listed) / max(len(listed), 1)
    return Measured(recall, ndcg, places)


def rows(name: str, found: Sequence[Measured]) -> list[Row]:
    """With beside without, over all seeds."""
    recall = [[one.recall[arm] for one in found] for arm in ARMS]
    ndcg = [[one.ndcg[arm] for one in found] for arm in ARMS]
    places = [float(np.mean([one.places[arm] for one in found])) for arm in ARMS]
    return [
        _row(f"cold_recall20_among_all/{name}", recall[0], recall[1], f"Recall@{TOP}"),
        _row(f"warm_ndcg10_vs_without/{name}", ndcg[0], ndcg[1], f"NDCG@{NDCG_AT}"),
        Row(f"held_out_share_of_lists/{name}", places[0], places[1], "share of places"),
        Row(f"users_of_cold_items/{name}", float(np.mean([len(v) for v in recall[0]])), None, "users a seed"),
        Row(f"users_of_warm_items/{name}", float(np.mean([len(v) for v in ndcg[0]])), None, "users a seed"),
        Row(f"trials_among_all/{name}", len(found), None, "seeds"),
    ]


def _row(measure: str, ours: list[metrics.PerUser], theirs: list[metrics.PerUser], unit: str) -> Row:
    difference = clustered([a - b for a, b in zip(ours, theirs, strict=True)])
    means = [float(np.mean([values.mean() for values in arm])) for arm in (ours, theirs)]
    return Row(measure, means[0], means[1], unit, difference.low, difference.high)


def _lists(path: Path) -> dict[str, list[str]]:
    """Each user's list, best first, whatever the order of rows in the file."""
    order: list[tuple[str, str]] = [(name, "ascending") for name in ("user_id", "rank", "item_id")]
    found = pq.read_table(path).sort_by(order)
    lists: dict[str, list[str]] = {}
    for user, item in zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True):
        lists.setdefault(user, []).append(item)
    return lists
