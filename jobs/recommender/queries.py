"""A training set as matrices: one group of rows a query, and how well an order of them does."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Queries:
    """The rows of a training set, sorted by query and item.

    rows: the table. sizes, windows (days since 1970), relevant (items taken, in the list or not): of each
    query.
    """

    rows: pa.Table
    sizes: NDArray[np.int64]
    windows: NDArray[np.int64]
    relevant: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 where the item was taken: shape (rows,)."""
        return self.rows["label"].to_numpy()

    @property
    def starts(self) -> NDArray[np.int64]:
        """Place of each query's first row."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def distinct_windows(self) -> NDArray[np.int64]:
        """The windows, oldest first."""
        return np.unique(self.windows)

    @property
    def newest(self) -> Mask:
        """Queries of the newest window."""
        return self.windows == self.windows.max(initial=0)

    def where(self, wanted: Mask) -> "Queries":
        """The queries where `wanted` (one entry a query) is true."""
        rows = self.rows.filter(pa.array(np.repeat(wanted, self.sizes)))
        return Queries(rows, self.sizes[wanted], self.windows[wanted], self.relevant[wanted])

    def only(self, kept: Mask) -> "Queries":
        """The rows where `kept` (one entry a row) is true; a query may be left with none of them."""
        sizes = np.add.reduceat(kept.astype(np.int64), self.starts) if len(self.sizes) else self.sizes
        some = sizes > 0
        rows = self.rows.filter(pa.array(kept))
        return Queries(rows, sizes[some], self.windows[some], self.relevant[some])

    def instructive(self) -> "Queries":
        """The queries with both kinds of labels: from others no order can be learnt."""
        positives = np.add.reduceat(self.labels, self.starts) if len(self.sizes) else self.sizes
        return self.where((positives > 0) & (positives < self.sizes))

    def with_rows(self, rows: pa.Table) -> "Queries":
        """The same queries over other columns of the same rows."""
        return replace(self, rows=rows)


def night_of(window: int) -> date:
    """The night whose lists a window begins with."""
    return date(1970, 1, 1) + timedelta(days=window)


def queries(rows: pa.Table) -> Queries:
    """Sort a training set by query (user_id, query_time) and item_id."""
    rows = rows.sort_by(
        [(name, "ascending") for name in ("user_id", "query_time", "item_id")]
    ).combine_chunks()
    users = rows["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    moments = rows["query_time"].cast(pa.int64()).to_numpy()
    first = np.ones(rows.num_rows, dtype=bool)
    first[1:] = (users[1:] != users[:-1]) | (moments[1:] != moments[:-1])
    starts = np.flatnonzero(first)
    return Queries(
        rows,
        np.diff(np.append(starts, rows.num_rows)),
        rows["window"].cast(pa.int32()).to_numpy()[starts].astype(np.int64),
        rows["relevant_count"].to_numpy()[starts],
    )


def matrix(rows: pa.Table | pa.RecordBatch, features: tuple[str, ...]) -> NDArray[np.float64]:
    """Feature columns as floats, null as NaN: shape (rows, features)."""
    if not features:
        return np.empty((rows.num_rows, 0))
    columns = [pc.cast(rows.column(name), pa.float64()) for name in features]
    # Column by column in memory, as they come: to turn them round takes longer than to score them.
    return np.stack([column.to_numpy(zero_copy_only=False) for column in columns]).T


def ndcg_at_k(
    found: Queries, scores: NDArray[np.float64], k: int = 10, counted: Mask | None = None
) -> NDArray[np.float64]:
    """NDCG of each query when its rows are ordered by score, ties by item: shape (queries,).

    The ideal list holds every item the user took, in the list or not. With `counted` (one entry a row) only
    those rows' labels count, and the ideal list holds what the list has of them; a query without any has no
    value: NaN. Source: Järvelin and Kekäläinen, 2002.
    """
    labels = found.labels if counted is None else found.labels * counted
    query = np.repeat(np.arange(len(found.sizes)), found.sizes)
    order = np.lexsort((-scores, query))
    places = np.arange(len(order)) - np.repeat(found.starts, found.sizes)
    discount = np.where(places < k, 1.0 / np.log2(places + 2.0), 0.0)
    gained = np.bincount(query, discount * labels[order], minlength=len(found.sizes))
    relevant = found.relevant
    if counted is not None:
        relevant = np.bincount(query, labels, minlength=len(found.sizes)).astype(np.int64)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])[np.minimum(relevant, k)]
    return np.divide(gained, ideal, out=np.full(len(gained), np.nan), where=ideal > 0)
