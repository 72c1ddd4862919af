"""Why an item stands on a list: the features that moved its score most, in words.

The words are those of the columns' contracts, so that a new feature needs no second description.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_store.contract import FLAG, INTEGER, TEXT
from feature_store.tables import TABLES

_COLUMNS = {column.name: column for column in TABLES["training_set"].columns}
# Contributions below this are nothing a person could see.
_DECIMALS = 3


def words(feature: str) -> str:
    """What a feature is, in words: its contract's, up to the first comma or bracket."""
    column = _COLUMNS.get(feature)
    if column is None:
        return feature.replace("_", " ")
    text = column.doc.split(", ")[0].split(" (")[0]
    entity = feature.split("_")[0]
    return text if entity not in ("item", "user") or entity in text.split() else f"{entity}: {text}"


def sentences(
    rows: pa.Table, contributions: NDArray[np.float64], features: tuple[str, ...], count: int
) -> pa.ListArray:
    """The `count` largest contributions of each row, as `<what it is> <its value>: <+ or - how much>`.

    contributions: shape (rows, features). Ties go to the feature that comes first.
    """
    rounded = contributions.round(_DECIMALS)
    largest = np.argsort(-np.abs(rounded), axis=1, kind="stable")[:, :count]
    line, place = np.nonzero(np.take_along_axis(rounded, largest, axis=1))
    feature = largest[line, place]
    said = np.empty(len(line), dtype=object)
    for number in np.unique(feature):
        here = np.flatnonzero(feature == number)
        name = features[number]
        values = _values(name, rows[name].take(pa.array(line[here])))
        amounts = rounded[line[here], number]
        phrase = words(name)
        said[here] = [f"{phrase} {v}: {a:+.2g}" for v, a in zip(values, amounts, strict=True)]
    starts = np.searchsorted(line, np.arange(len(contributions) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(said, TEXT))


def _values(feature: str, column: pa.ChunkedArray) -> list[str]:
    kind = _COLUMNS[feature].type if feature in _COLUMNS else None
    numbers = pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy()
    if kind == FLAG:
        return ["unknown" if np.isnan(n) else "yes" if n else "no" for n in numbers]
    shape = ",.0f" if kind == INTEGER else ".3g"
    return ["unknown" if np.isnan(n) else format(n, shape) for n in numbers]
