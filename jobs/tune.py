"""tune: how recall would have served users some weeks ago -> settings, quotas and weights of its channels.

It looks at windows of time that end where the ranker's label windows begin, so that what a ranker is trained
on and judged by is news to it. What was found is used again until it is tuning.days old, or until
`nightmill tune --fresh`.
"""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import read
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs import training_set
from jobs.night import Night, end_of
from jobs.recommender import blending, tuning, windows
from jobs.recommender.channels import Tables
from jobs.recommender.history import COLUMNS
from jobs.recommender.quotas import Blend
from jobs.step import Input, Job

Row = dict[str, Any]


def run(night: Night) -> None:
    """Stage the one row of tunings: carried forward, or searched for."""
    row = _carried(night) or _searched(night)
    night.note(f"tune: {row['status']}: {row['reason']}")
    schema = TABLES["tunings"].schema
    night.write("tunings", pa.table({k: pa.array([v], schema.field(k).type) for k, v in row.items()}))


def window_end(night: Night) -> datetime:
    """Where the ranker's label windows begin: nothing at or after it is looked at.

    A night without lists to learn from looks at all it knows: its own lists will be labelled by what comes
    after it. So all the lists a ranker learns from, and those it orders, come from recall set up alike.
    """
    learnt = training_set.windows(night.earlier("candidates"), night.as_of, night.settings.ranker)
    return end_of(min(part.ds for part in learnt)) if learnt else night.as_of


def _carried(night: Night) -> Row | None:
    """The newest choice, where it is young enough and was made from the settings of this night."""
    partitions = night.earlier("tunings")
    if night.fresh or not partitions:
        return None
    (row,) = read("tunings", partitions[-1].files).to_pylist()
    tuned: date = row["tuned_ds"]
    fits = row["searched_for"] == _searched_for(night.settings)
    age = (night.ds - tuned).days
    if row["status"] == "default" or not fits or age >= night.settings.tuning.days:
        return None
    reason = f"found {age} days ago, on {tuned}; searched anew after {night.settings.tuning.days} days"
    kept = [column.name for column in TABLES["tunings"].columns]
    return {name: row[name] for name in (*kept, "input_max_event_time")} | {
        "status": "carried",
        "reason": reason,
    }


def _searched_for(settings: Settings) -> str:
    """What a choice depends on beside the data."""
    asked = settings.tuning.model_dump(exclude={"days"})
    spans = {"horizon_days": settings.ranker.horizon_days, "windows": settings.ranker.windows}
    return json.dumps({"recall": settings.recall.model_dump(), "tuning": asked} | spans, sort_keys=True)


def _searched(night: Night) -> Row:
    settings, end = night.settings.tuning, window_end(night)
    events = _before(night.read("interactions", COLUMNS), end)
    items = night.read("items", ["item_id", "categories"])
    sampled = windows.sample(events, settings.events, settings.seed)
    length = timedelta(days=night.settings.ranker.horizon_days)
    found = windows.find(sampled, items["item_id"], end, length, _judging(night.settings))
    row = _unchanged(night) | {
        "window_end": end,
        "input_max_event_time": pc.max(events["event_time"]).as_py(),
    }
    if not found:
        return row | {
            "reason": f"no window before {end:%Y-%m-%d} has the {settings.min_users} users with a history "
            "that a search needs (tuning.min_users): the settings as they are"
        }
    row |= {"window_start": found[-1].start, "users": sum(len(window.users) for window in found)}
    embeddings = night.read("item_embeddings", ["item_id", "embedding", "model_id"])
    return row | _tuned(night, found, Tables(items, embeddings, _no_synthetic()))


def _tuned(night: Night, found: list[windows.Window], tables: Tables) -> Row:
    """Search each channel's settings, then the blend; nothing changes unless the merged list gains."""
    asked, usual = night.settings.tuning, night.settings.recall
    search = tuning.Search(found, tables, asked.trials, asked.seed)
    before = blending.propose(found, tables, usual)
    equal = before.quality(Blend.equal(usual.blended))
    tuned, trials = usual, 0
    with night.progress(len(tuning.SPACES), "tune", "channel") as progress:
        for space in tuning.SPACES:
            tuned, tried = search.improved(space, tuned)
            trials += tried
            progress.update(1)
    after = blending.propose(found, tables, tuned) if tuned != usual else before
    blend = blending.learn(after)
    merged = after.quality(blend)
    was, now = float(equal.ndcg.mean()), float(merged.ndcg.mean())
    measured = {"status": "tuned", "trials": trials, "default_ndcg_at_10": was, "tuned_ndcg_at_10": was}
    if merged.against(equal).mean() <= 0:
        return measured | {"reason": "nothing that was tried makes the merged list better: no change"}
    changed = {key: value for key, value in tuned.model_dump().items() if value != getattr(usual, key)}
    return measured | {
        "tuned_ndcg_at_10": now,
        "parameters": json.dumps(changed, sort_keys=True),
        "quotas": json.dumps(blend.quotas),
        "weights": json.dumps(blend.weights),
        "reason": f"{len(changed)} settings changed; {len(merged.ndcg):,} users: merged NDCG@10 {was:.4f} "
        f"-> {now:.4f}, candidate recall {equal.recall.mean():.3f} -> {merged.recall.mean():.3f}",
    }


def _unchanged(night: Night) -> Row:
    blend = Blend.equal(night.settings.recall.blended)
    return {
        "tuned_ds": night.ds,
        "window_start": None,
        "window_end": None,
        "parameters": "{}",
        "quotas": json.dumps(blend.quotas),
        "weights": json.dumps(blend.weights),
        "searched_for": _searched_for(night.settings),
        "trials": 0,
        "users": 0,
        "default_ndcg_at_10": None,
        "tuned_ndcg_at_10": None,
        "status": "default",
        "reason": "",
    }


def _judging(settings: Settings) -> windows.Judging:
    asked = settings.tuning
    return windows.Judging(
        asked.users, asked.min_users, settings.activity.days, settings.recall.repeats, asked.seed
    )


def _before(events: pa.Table, end: datetime) -> pa.Table:
    return events.filter(pc.less(events["event_time"], pa.scalar(end, events["event_time"].type)))


def _no_synthetic() -> pa.Table:
    """What a model imagines of a user comes from a history that goes beyond the windows."""
    names = ("user_id", "item_id", "confidence")
    return TABLES["synthetic_interactions"].schema.empty_table().select(names)


JOB = Job(
    name="tune",
    summary="past windows of interactions -> settings, quotas and weights of the recall channels",
    inputs=(
        Input("interactions"),
        Input("items"),
        Input("item_embeddings"),
        Input("tunings", earlier=True),
        Input("candidates", earlier=True),
    ),
    outputs=("tunings",),
    run=run,
    settings=("activity", "recall", "ranker", "tuning"),
)
