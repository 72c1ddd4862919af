"""What the model said users would rather take, as lists of two that a ranker may learn from a little.

They are kept apart from the training set to the end: nothing is measured on them, no window of theirs says
when to stop, and the weights of the channels do not know them.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.tables import CHANNEL_COLUMNS


@dataclass(frozen=True)
class Imagined:
    """Rows of synthetic_pairs in the order of their questions, two a question; no channel proposed them."""

    rows: pa.Table

    def __len__(self) -> int:
        return self.rows.num_rows // 2

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for the item that was preferred: shape (rows,)."""
        return self.rows["label"].to_numpy()

    @property
    def weights(self) -> NDArray[np.float64]:
        """What a row counts beside 1 for one of the training set: shape (rows,)."""
        return self.rows["weight"].to_numpy()

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each question: shape (questions,)."""
        return np.full(len(self), 2, dtype=np.int64)

    def until(self, window: int) -> "Imagined":
        """What was known when the lists of a window (days since 1970) were."""
        windows = self.rows["window"].cast(pa.int32()).to_numpy()
        return Imagined(self.rows.filter(pa.array(windows <= window)))

    def dealt(self, seed: int) -> "Imagined":
        """The same questions with a coin's answers: the placebo."""
        turned = np.repeat(np.random.default_rng(seed).integers(0, 2, len(self)), 2)
        labels = pa.array(self.labels ^ turned, pa.int64())
        return Imagined(self.rows.set_column(self.rows.column_names.index("label"), "label", labels))


def imagined(rows: pa.Table) -> Imagined:
    """Sort rows of synthetic_pairs by question, whatever their order."""
    items, others = rows["item_id"].to_pylist(), rows["other_item_id"].to_pylist()
    pairs = [sorted(pair) for pair in zip(items, others, strict=True)]
    for place, name in enumerate(("first", "second")):
        rows = rows.append_column(name, pa.array([pair[place] for pair in pairs], pa.string()))
    keys = ("user_id", "query_time", "first", "second", "item_id")
    rows = rows.sort_by([(key, "ascending") for key in keys]).drop_columns(["first", "second"])
    for column in CHANNEL_COLUMNS:
        rows = rows.append_column(column.name, pa.nulls(rows.num_rows, column.type))
    return Imagined(rows.combine_chunks())
