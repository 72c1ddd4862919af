"""ablate: what each group of features buys, on cold and on tail items as well, and what it cost in tokens."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import GROUPS
from feature_store.tables import TABLES
from jobs.history import recent_items
from jobs.llm.spent import Spent, spent
from jobs.night import Night, end_of, stamped
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
NOTHING = Spent(0, 0.0, 0.0)


def run(night: Night) -> None:
    """Stage a row per group, variant and slice; without enough windows one row a group, which says so."""
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
    newest = pc.max(found.rows["input_max_event_time"]).as_py()
    night.write("ablations", stamped(_table(rows), newest))


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
    ),
    outputs=("ablations",),
    run=run,
    settings=("ranker", "ablation", "features"),
)
