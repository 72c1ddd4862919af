"""One trial of `nightmill bench cold-start`, in a process of its own: the first held-out items by every arm.

    python -m infra.benchmarks.cold_start_trial SIDE CONFIG

It reads known.parquet (the events that are left), items.parquet, held.parquet and users.parquet of a folder,
and writes top.npz: for each arm the places in `held` of the first K, shape (users, K). What was hidden is
nowhere in that folder; only the oracle is given taken.parquet besides.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.sections import Recall
from feature_store.settings import load_settings
from infra.benchmarks import cold_start_ours as ours
from infra.benchmarks.cold_start_judge import Judge, judgement
from infra.benchmarks.cold_start_known import Known, known, stage
from infra.benchmarks.cold_start_references import REFERENCES, Scorer, chosen, top
from infra.benchmarks.cold_start_rows import OURS, WITHOUT_NUMBERS
from infra.benchmarks.processes import result
from jobs.recommender.history import codes

TOP, TAKEN = "top.npz", "taken.parquet"


def run(folder: Path, root: Path, judge: Judge) -> dict[str, Any]:
    """Rank the held-out items by every arm; the settings that references chose, questions and tokens."""
    began = time.monotonic()
    settings = load_settings()
    events, items = (pq.read_table(folder / f"{name}.parquet") for name in ("known", "items"))
    night = stage(events, items, root, folder.name, settings)
    one = known(night, pq.read_table(folder / "held.parquet")["item_id"].to_pylist())
    prepared = time.monotonic()
    settled = {name: chosen(name, one, settings.recall) for name in REFERENCES}
    arms = {name: fit(one, settings.recall, **settled[name]) for name, (fit, _) in REFERENCES.items()}
    found = judgement(one, judge, _taken(events, folder), folder / "judge")
    arms |= _ours(one, settings.recall, found.rows if judge != "none" else None)
    users = codes(pq.read_table(folder / "users.parquet")["user_id"], one.history.user_ids)
    lists: dict[str, Any] = {name: top(scorer, users) for name, scorer in arms.items()}
    np.savez(folder / TOP, **lists)
    return {
        "settings": {name: setting for name, setting in settled.items() if setting},
        "verdict": found.verdict,
        "requests": found.requests,
        "kept": found.rows.num_rows,
        "tokens": found.tokens,
        "seconds": {"prepared": prepared - began, "ranked": time.monotonic() - prepared},
    }


def _ours(one: Known, recall: Recall, synthetic: Any) -> dict[str, Scorer]:
    night = ours.learnt(one)
    channel = ours.aligned(one, night)
    found = {"filter": ours.filtered(one, recall), "same_signs": ours.same_signs(one, channel)}
    found |= ours.parts(one, channel)
    if synthetic is not None:
        judged = ours.judged(one, synthetic, recall)
        found |= {
            "judgement_alone": judged,
            "judgement": ours.fused([found["filter"], judged]),
            "all": ours.parts(one, ours.aligned(one, night, synthetic))[OURS],
        }
    found[WITHOUT_NUMBERS] = ours.parts(one, ours.aligned(one, ours.learnt(one, numbers=False)))[OURS]
    return found


def _taken(events: pa.Table, folder: Path) -> dict[str, set[str]]:
    """What users took: what is known, and where there is an oracle what it may know besides."""
    found: dict[str, set[str]] = {}
    for rows in [events, *map(pq.read_table, folder.glob(TAKEN))]:
        for user, item in zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True):
            found.setdefault(user, set()).add(item)
    return found


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run(Path(config["folder"]), Path(config["root"]), config["judge"]))
