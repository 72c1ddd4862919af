"""What a recall channel answers with, and the exact top of a product of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, Floats
from jobs.recommender.threads import cores, one_blas_thread

# Fetched beyond n, so that a tie over the n-th place can be settled by item.
_SLACK = 16
# Scores that agree to so many decimals are a tie: the last bits depend on how a product is laid out.
_DECIMALS = 6
# Dense scores held at once where a tie has to be settled among all items (floats).
_DENSE = 16_000_000


# Scores held at once (entries of a sparse matrix, at most).
ENTRIES = 16_000_000


@dataclass(frozen=True)
class Proposals:
    """Items a channel proposes, best first, ties in item order; -1 and -inf where it has no more.

    items: shape (users, n), codes. scores: shape (users, n).
    """

    items: Codes
    scores: NDArray[np.float64]

    @classmethod
    def nothing(cls, users: int) -> "Proposals":
        """No proposal for any of `users` users."""
        return cls(np.empty((users, 0), dtype=np.int32), np.empty((users, 0)))

    @classmethod
    def joined(cls, blocks: Sequence["Proposals"], n: int) -> "Proposals":
        """The proposals of blocks of users, one after the other, each of n places."""
        if not blocks:
            return cls(np.empty((0, n), dtype=np.int32), np.empty((0, n)))
        return cls(
            np.concatenate([block.items for block in blocks]),
            np.concatenate([block.scores for block in blocks]),
        )

    def spread(self, rows: NDArray[np.bool_]) -> "Proposals":
        """The same proposals for the users where `rows` is true, and none for the others."""
        items = np.full((len(rows), self.items.shape[1]), -1, dtype=np.int32)
        scores = np.full(items.shape, -np.inf)
        items[rows], scores[rows] = self.items, self.scores
        return Proposals(items, scores)


def nearest(
    vectors: Floats, queries: Floats, n: int, seen: csr_matrix, eligible: NDArray[np.bool_]
) -> Proposals:
    """The n eligible, unseen items with the largest product with each query.

    vectors: shape (items, d). queries: shape (users, d). seen: shape (users, items).
    """
    from implicit.cpu.topk import topk

    n = min(n, int(eligible.sum()))
    if not n or not len(queries):
        return Proposals.nothing(len(queries))
    fetched = min(len(vectors), n + _SLACK)
    barred = np.flatnonzero(~eligible).astype(np.int32)
    with one_blas_thread():
        items, scores = topk(
            np.ascontiguousarray(vectors),
            np.ascontiguousarray(queries),
            fetched,
            filter_query_items=seen,
            filter_items=barred if len(barred) else None,
            num_threads=cores(),
        )
    found = _ordered(items, scores, n)
    tied = (
        (found.items[:, -1] >= 0)
        & (_rounded(scores[:, -1]) == found.scores[:, -1])
        & (fetched < len(vectors))
    )
    _settle(found, np.flatnonzero(tied), vectors, queries, seen, eligible)
    return found


def best_of_product(rows: csr_matrix, columns: csr_matrix, n: int, seen: csr_matrix) -> Proposals:
    """The n unseen items with the largest positive score in each row of a product, in bounded memory.

    rows: shape (users, m). columns: shape (m, items). seen: shape (users, items).
    """
    n = min(n, seen.shape[1])
    if not rows.nnz or not columns.nnz or not n:
        return Proposals.nothing(rows.shape[0])
    size = max(1, ENTRIES // seen.shape[1])
    starts = range(0, rows.shape[0], size)
    blocks = [best_of_rows(rows[at : at + size] @ columns, n, seen[at : at + size]) for at in starts]
    return Proposals.joined(blocks, n)


def best_of_rows(scores: csr_matrix, n: int, seen: csr_matrix) -> Proposals:
    """The n unseen items with the largest positive score in each row of a sparse matrix.

    scores, seen: shape (users, items). Scores that agree to single precision are a tie.
    """
    found = Proposals(
        np.full((scores.shape[0], n), -1, dtype=np.int32), np.full((scores.shape[0], n), -np.inf)
    )
    barred = np.zeros(scores.shape[1], dtype=bool)
    for row in range(scores.shape[0]):
        stored = slice(scores.indptr[row], scores.indptr[row + 1])
        items, values = scores.indices[stored], scores.data[stored].astype(np.float32)
        taken = seen.indices[seen.indptr[row] : seen.indptr[row + 1]]
        barred[taken] = True
        open_ = ~barred[items] & (values > 0)
        barred[taken] = False
        items, values = items[open_], values[open_]
        if len(values) > n:
            # Everything that may be among the best n, ties over the last place included.
            near = values >= np.partition(values, len(values) - n)[len(values) - n]
            items, values = items[near], values[near]
        order = np.lexsort((items, -values))[:n]
        found.items[row, : len(order)], found.scores[row, : len(order)] = items[order], values[order]
    return found


def _rounded(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    # Barred items carry the smallest float.
    rounded = scores.astype(np.float64).round(_DECIMALS)
    rounded[scores < -1e38] = -np.inf
    return rounded


def _ordered(items: Codes, scores: NDArray[np.floating], n: int) -> Proposals:
    rounded, chosen = _rounded(scores), items.astype(np.int32)
    # Most rows have come in order; sorting all of them would cost as much as finding them.
    unsettled = np.flatnonzero((rounded[:, 1:] >= rounded[:, :-1]).any(axis=1))
    order = np.lexsort((chosen[unsettled], -rounded[unsettled]), axis=1)
    chosen[unsettled] = np.take_along_axis(chosen[unsettled], order, axis=1)
    rounded[unsettled] = np.take_along_axis(rounded[unsettled], order, axis=1)
    chosen[np.isneginf(rounded)] = -1
    return Proposals(np.ascontiguousarray(chosen[:, :n]), np.ascontiguousarray(rounded[:, :n]))


def _settle(
    found: Proposals,
    rows: NDArray[np.intp],
    vectors: Floats,
    queries: Floats,
    seen: csr_matrix,
    eligible: NDArray[np.bool_],
) -> None:
    """Rank all items for the users whose tie goes on beyond what was fetched; rare with real vectors."""
    everything = np.arange(len(vectors), dtype=np.int32)
    block = max(1, _DENSE // len(vectors))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        scores = queries[part] @ vectors.T
        scores[:, ~eligible] = -np.inf
        scores[seen[part].nonzero()] = -np.inf
        exact = _ordered(np.broadcast_to(everything, scores.shape), scores, found.items.shape[1])
        found.items[part], found.scores[part] = exact.items, exact.scores
