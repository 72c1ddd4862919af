"""nightmill bench cold-start: items nobody has touched, found by what is known of them and of the users.

A fifth of the items is held out whole, once a seed, and ranked among themselves for the users who took one of
them; docs/cold-start.md has the protocol. Every side reads the same events, and none of the hidden ones.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix

from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.benchmarks import cold_start_all, cold_start_speed
from infra.benchmarks.cold_start_judge import Judge, asked_half
from infra.benchmarks.cold_start_known import keep_vectors
from infra.benchmarks.cold_start_references import recall_of
from infra.benchmarks.cold_start_rows import Result, rows
from infra.benchmarks.cold_start_split import FIRST_SEED, Trial, hold_out
from infra.benchmarks.cold_start_trial import TAKEN, TOP
from infra.benchmarks.measures import Row, render
from infra.benchmarks.processes import folder_of, side
from infra.benchmarks.quality_sets import Set, choose
from jobs.llm.server import stop_server
from jobs.sources import tables
from jobs.sources.tables import Raw

OPTIONS = ("data", "sets", "seeds", "judge", "only")
# Draws of held-out items: a night costs more than a trial.
SEEDS, SEEDS_OF_NIGHTS = 5, 1


Part = Literal["cold-items", "all-items", "aligning"]


@dataclass(frozen=True)
class Asked:
    """What the command was asked for."""

    seeds: int
    judge: Judge


def run(
    settings: Settings,
    say: Callable[[str], None],
    data: Path | None = None,
    sets: str = "",
    seeds: int = 0,
    judge: Judge = "oracle",
    only: Part | None = None,
) -> list[Row]:
    """Every measure of every set.

    data, sets: as `nightmill bench quality` has them. seeds: how many draws of held-out items, from 42 on; 0:
    SEEDS and SEEDS_OF_NIGHTS. judge: who answers the A/B questions (cold_start_judge.py). only: one part of
    the benchmark: a ranking, or the time that aligning takes.
    """
    found: list[Row] = []
    chosen = [] if only == "aligning" else choose(data, sets, folder_of(settings.data_root, "sources"))
    among_all = range(FIRST_SEED, FIRST_SEED + (seeds or SEEDS_OF_NIGHTS))

    def told(name: str, measured: list[Row]) -> None:
        # Said as soon as it is known: what comes later may fail, and takes minutes.
        say(f"{name}:\n{render(measured, {}, 'table')}")
        found.extend(measured)

    for one in chosen if only != "all-items" else ():
        asked = Asked(seeds or SEEDS, judge)
        told(one.name, measure(one, settings.data_root / one.name, asked, say))
    if only in (None, "aligning"):
        told("aligning", cold_start_speed.measure(settings, say))
    for one in chosen if only != "cold-items" else ():
        told(one.name, cold_start_all.measure(one, settings.data_root / one.name, among_all, say))
    return found


def measure(one: Set, root: Path, asked: Asked, say: Callable[[str], None]) -> list[Row]:
    """The rows of one set; everything is written under root."""
    environ = {**one.environ, "NIGHTMILL_DATA": str(root / "data"), "NIGHTMILL_TIME__MODE": "simulated"}
    if asked.judge != "model":
        environ["NIGHTMILL_GENERATION__ENGINE"] = "none"
    settings = load_settings(os.environ | environ)
    keep_vectors(settings)
    raw = tables.read(settings)
    for note in one.notes:
        say(f"{one.name}: {note}")
    results = []
    try:
        for trial in trials(raw, asked.seeds):
            folder = folder_of(root, f"seed-{trial.seed}")
            prepare(folder, trial, raw, asked.judge)
            config: dict[str, Any] = {"folder": str(folder), "root": str(root / "data"), "judge": asked.judge}
            found = side("cold_start_trial", "trial", environ, **config)
            results.append(judged(folder, trial, found))
            say(f"{one.name}, seed {trial.seed}: {_about(results[-1], found)}")
    finally:
        stop_server(root / "data")  # the judge's, if there is one
    return rows(one.name, results, len(trial.held), asked.judge)


def trials(raw: Raw, seeds: int) -> Iterator[Trial]:
    """One trial a seed."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        yield hold_out(raw.events, raw.items["item_id"], seed)


def prepare(folder: Path, trial: Trial, raw: Raw, judge: Judge) -> None:
    """What a trial reads; what is hidden only an oracle is told, of users it may be asked about."""
    pq.write_table(trial.known, folder / "known.parquet")
    pq.write_table(raw.items, folder / "items.parquet")
    for name, key, ids in (("held", "item_id", trial.held), ("users", "user_id", list(trial.relevant))):
        pq.write_table(pa.table({key: pa.array(ids, pa.string())}), folder / f"{name}.parquet")
    if judge == "oracle":
        asked = pa.array(sorted(asked_half(pc.unique(trial.known["user_id"]).to_pylist())), pa.string())
        pairs = raw.events.select(["user_id", "item_id"])
        pairs = pairs.filter(pc.is_in(pairs["item_id"], pa.array(trial.held, pa.string())))
        pq.write_table(pairs.filter(pc.is_in(pairs["user_id"], asked)), folder / TAKEN)


def judged(folder: Path, trial: Trial, found: Mapping[str, Any]) -> Result:
    """The lists of a trial beside what was hidden from it."""
    place = {item: n for n, item in enumerate(trial.held)}
    pairs = [(row, place[item]) for row, items in enumerate(trial.relevant.values()) for item in items]
    at = tuple(np.array(pairs).T)
    truth = csr_matrix((np.ones(len(pairs)), at), shape=(len(trial.relevant), len(place)))
    with np.load(folder / TOP) as lists:
        recalls = {arm: recall_of(lists[arm], truth) for arm in lists}
    half = asked_half(pc.unique(trial.known["user_id"]).to_pylist())
    asked = np.array([user in half for user in trial.relevant])
    return Result(recalls, asked, found["requests"], found["kept"], found["tokens"])


def _about(result: Result, found: Mapping[str, Any]) -> str:
    arms = ", ".join(f"{arm} {values.mean():.3f}" for arm, values in result.recalls.items())
    settled = "; ".join(f"{name} {setting}" for name, setting in found["settings"].items())
    seconds = ", ".join(f"{part} in {value:.0f} s" for part, value in found["seconds"].items())
    judge = f"; the judge {found['verdict']}" if found["verdict"] else ""
    return f"{arms} ({settled}; {seconds}{judge})"
