"""Cold items on the report: how well what is known of an item says whom it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from markupsafe import Markup

from feature_store.partitions import Store, read_leniently
from feature_store.tables import TABLES
from jobs.report import charts, units

LABELS = {
    "towers": "Aligned vectors alone",
    "nearness": "Likeness to the history alone",
    "both": "Both, as they are used",
}
BLOCKS = {"text": "text vectors", "words": "words", "facts": "facts", "code": "item number"}
_COLUMNS = ["held_items", "held_users", "equal_events", "blocks", "block_weights"]


@dataclass(frozen=True)
class ColdItems:
    """What `alignments` says of a night.

    recalls: label and recall@20 among the held-out items. weights: block and its share of likeness.
    """

    held_items: int
    held_users: int
    equal_events: float
    recalls: Sequence[tuple[str, float]]
    weights: Sequence[tuple[str, float]]


def cold_items(store: Store, ds: date) -> ColdItems | None:
    """The alignment of a night; None where nothing was held out, or by an older Nightmill."""
    partition = store.published("alignments", ds)
    if partition is None:
        return None
    names = [*_COLUMNS, *(f"recall_{name}" for name in LABELS)]
    schema = TABLES["alignments"].schema
    (row,) = read_leniently(pa.schema([schema.field(name) for name in names]), partition.files).to_pylist()
    if not row["held_items"]:
        return None
    total = sum(row["block_weights"]) or 1.0
    weights = [(BLOCKS[name], w / total) for name, w in zip(row["blocks"], row["block_weights"], strict=True)]
    recalls = [(label, row[f"recall_{name}"]) for name, label in LABELS.items()]
    return ColdItems(row["held_items"], row["held_users"], row["equal_events"], recalls, weights)


def pictures(found: ColdItems | None) -> tuple[Markup, Markup] | None:
    """Bars of the recalls, and of what likeness is made of."""
    if found is None:
        return None
    recalls = [charts.Bar(label, value, units.metric(value), series=4) for label, value in found.recalls]
    weights = [charts.Bar(label, share, units.percent(share), series=4) for label, share in found.weights]
    return charts.bars(recalls), charts.bars(weights, scaled_to=1.0)
