"""ablate: what each group of features buys, on cold and on tail items as well, and what it cost in tokens.

What was measured is used again until it is ablation.days old, or until `nightmill ablate --fresh`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import GROUPS
from feature_store.partitions import read
from feature_store.tables import TABLES
from jobs.history import recent_items
from jobs.llm.spent import Spent, spent
from jobs.night import Night, end_of, stamped
from jobs.publish import digest
from jobs.recommender import ablation
from jobs.recommender.ablation import Comparison
from jobs.recommender.control import with_control
from jobs.recommender.queries import Queries, night_of, queries
from jobs.recommender.synthetic_pairs import imagined
from jobs.recommender.worth import Verdict, verdict
from jobs.step import Input, Job

# The table whose answers a group's features are made of.
MADE_OF = {
    "item_text": "item_profiles",
    "user_text": "user_profiles",
    "synthetic": "synthetic_interactions",
    "embeddings": "item_embeddings",
}
# What a manifest says of who made its rows, as far as it is another rollout that changes it.
ASKED = ("prompt_name", "prompt_version", "prompt_hash", "model_id", "model_revision")
NOTHING = Spent(0, 0.0, 0.0)


def run(night: Night) -> None:
    """Stage a row per group, variant and slice: carried forward, or measured."""
    carried = _carried(night)
    if carried is None:
        _measure(night)
        return
    night.note(
        f"ablate: measured on {carried['measured_ds'][0]}; anew after {night.settings.ablation.days} days"
    )
    night.write("ablations", carried)


def _carried(night: Night) -> pa.Table | None:
    """What an earlier night measured, if it did, is young enough and had the same settings and models."""
    partitions = night.earlier("ablations")
    if night.fresh or night.settings.ablation.days == 1 or not partitions:
        return None
    rows = read("ablations", partitions[-1].files)
    measured = rows.num_rows and pc.any(pc.is_valid(rows["lift"])).as_py()
    if not measured or rows["measured_for"][0].as_py() != _measured_for(night):
        return None
    age = (night.ds - rows["measured_ds"][0].as_py()).days
    return rows if age < night.settings.ablation.days else None


def _measured_for(night: Night) -> str:
    settings = {name: getattr(night.settings, name).model_dump(mode="json") for name in JOB.settings}
    del settings["ablation"]["days"]
    made_by = {
        table: [partition.manifest["provenance"].get(name) for name in ASKED]
        for table in MADE_OF.values()
        for partition in night.inputs[table]
    }
    return digest({"settings": settings, "made_by": made_by})[:16]


def _measure(night: Night) -> None:
    """A row per group, variant and slice; without enough windows one row a group, which says so."""
    found = queries(night.read("training_set"))
    night.count(selected=found.rows.num_rows)
    lacking = ablation.enough(found, night.settings.ranker)
    measured = {} if lacking else _measured(night, found)
    rows: list[dict[str, Any]] = []
    for group in GROUPS:
        paid = _paid(night, group)
        comparisons = measured.get(group, [])
        verdict_ = _verdict(night, lacking, comparisons)
        rows += _rows(group, comparisons, verdict_, paid, _window(found, night))
        night.note(f"ablate: {group}: {verdict_.verdict}, {verdict_.reason}")
    same = {"measured_ds": night.ds, "measured_for": _measured_for(night)}
    newest = pc.max(found.rows["input_max_event_time"]).as_py()
    night.write("ablations", stamped(_table([row | same for row in rows]), newest))


def _measured(night: Night, found: Queries) -> dict[str, list[Comparison]]:
    compared = with_control(found, _texts(night), _recent(night, found))
    told = imagined(night.read("synthetic_pairs")).until(int(found.windows.max()))
    with night.progress(ablation.fits(found, told), "ablate", "model") as progress:
        return dict(ablation.measure(compared, night.settings.ranker, lambda: progress.update(1), told))


def _verdict(night: Night, lacking: str, comparisons: Sequence[Comparison]) -> Verdict:
    if lacking:
        return Verdict("unsure", lacking)
    if not comparisons:
        return Verdict("unsure", "there is nothing of it that a ranker could learn from")
    return verdict(comparisons, night.settings.ablation.worthwhile)


def _texts(night: Night) -> dict[str, str]:
    """The source's own words about each item."""
    items = night.read("items", ["item_id", "title", "description", "categories"]).to_pylist()
    return {
        row["item_id"]: " ".join([row["title"], *row["categories"], row["description"] or ""])
        for row in items
    }


def _recent(night: Night, found: Queries) -> list[tuple[str, ...]]:
    """Of each query, the user's last items as of the night of its list."""
    users = found.rows["user_id"].take(pa.array(found.starts)).to_pylist()
    last = night.settings.features.recent_items
    by_window = {
        window: {
            history.user_id: history.item_ids
            for history in recent_items(night.files("interactions"), end_of(night_of(window)), last)
        }
        for window in found.distinct_windows.tolist()
    }
    return [by_window[w].get(user, ()) for user, w in zip(users, found.windows.tolist(), strict=True)]


def _paid(night: Night, group: str) -> Spent:
    """Tokens, seconds and price of the group's published rows; of vectors the seconds of the night's own."""
    if group not in MADE_OF:
        return NOTHING
    (partition,) = night.inputs[MADE_OF[group]]
    if group == "embeddings":
        return Spent(0, float(partition.manifest["seconds"]), 0.0)
    return spent(night.store, partition.files, night.settings.generation.price)


def _window(found: Queries, night: Night) -> date:
    windows = found.distinct_windows
    return night_of(int(windows[-1])) if len(windows) else night.ds


@dataclass(frozen=True)
class _Row:
    """The columns of `ablations` that a comparison has no part in."""

    feature_group: str
    window: date
    tokens: int
    seconds: float
    cost: float
    verdict: str
    reason: str


def _rows(
    group: str, comparisons: Sequence[Comparison], verdict_: Verdict, paid: Spent, window: date
) -> list[dict[str, Any]]:
    same = asdict(_Row(group, window, paid.tokens, paid.seconds, paid.cost, *verdict_))
    blank = {"variant": "group", "compared_to": "without", "slice": "all", "users": 0}
    if not comparisons:
        return [same | blank]
    return [same | _values(comparison, paid.tokens) for comparison in comparisons]


def _values(comparison: Comparison, tokens: int) -> dict[str, Any]:
    lift = comparison.lift
    per_million = lift.mean / tokens * 1e6 if tokens and comparison.variant == "group" else None
    values = comparison._asdict() | {"lift": lift.mean, "low": lift.low, "high": lift.high}
    return values | {"lift_per_million_tokens": per_million}


def _table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    names = [column.name for column in TABLES["ablations"].columns]
    schema = pa.schema([TABLES["ablations"].schema.field(name) for name in names])
    return pa.Table.from_pylist(list(rows), schema)


JOB = Job(
    name="ablate",
    summary="training set -> what each group of features is worth, and what it cost",
    inputs=(
        Input("training_set"),
        Input("synthetic_pairs"),
        Input("items"),
        Input("interactions"),
        *(Input(table) for table in MADE_OF.values()),
        Input("ablations", earlier=True),
    ),
    outputs=("ablations",),
    run=run,
    settings=("ranker", "ablation", "features"),
)
