"""Published vectors as matrices in the order of a history's codes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_store.errors import NightmillError
from jobs.recommender.history import Floats, codes


@dataclass(frozen=True)
class Vectors:
    """Rows of length one, zero where `known` is false: shape (ids, d)."""

    matrix: Floats
    known: NDArray[np.bool_]
    model: str


def aligned(rows: pa.Table, key: str, ids: pa.Array) -> Vectors:
    """Put the `embedding` of each row at the code of its id; rows of other ids are left out.

    A vector that is not finite or is all zero counts as unknown. NightmillError where the rows' models or
    lengths differ.
    """
    model = _only(rows, "model_id")
    lengths = pc.unique(pc.list_value_length(rows["embedding"])).to_pylist()
    if len(lengths) > 1:
        raise NightmillError(f"vectors by {key} have lengths {sorted(lengths)}: run `nightmill embed` again")
    width = lengths[0] if lengths else 0
    matrix = np.zeros((len(ids), width), dtype=np.float32)
    at = codes(rows[key], ids)
    values = (
        rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(rows), width)
    )
    norms = np.linalg.norm(values, axis=1)
    usable = (at >= 0) & np.isfinite(norms) & (norms > 0)
    matrix[at[usable]] = values[usable] / norms[usable, None]
    known = np.zeros(len(ids), dtype=bool)
    known[at[usable]] = True
    return Vectors(matrix, known, model)


def _only(rows: pa.Table, column: str) -> str:
    found = sorted(pc.unique(rows[column]).to_pylist())
    if len(found) > 1:
        raise NightmillError(
            f"vectors of several models cannot be compared ({', '.join(found)}): run `nightmill embed` again"
        )
    return found[0] if found else ""
