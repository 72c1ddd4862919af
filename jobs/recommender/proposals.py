"""What a recall channel answers with, and the exact top of a product of vectors."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.compiled import compiled
from jobs.recommender.history import Codes, Floats
from jobs.recommender.threads import cores, one_blas_thread

# Scores that agree to so many decimals are a tie: the last bits of factors depend on how they were learnt.
_MILLION = 1e6
# Queries and items whose products are held at once: they stay in the processor's cache.
_QUERIES, _ITEMS = 128, 2048
# Scores of a sparse product held at once (entries).
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
    n = min(n, int(eligible.sum()))
    if not n or not len(queries):
        return Proposals.nothing(len(queries))
    if not seen.has_sorted_indices:
        seen = seen.sorted_indices()
    vectors, queries = np.ascontiguousarray(vectors), np.ascontiguousarray(queries)
    longest = np.fmax.reduce(np.linalg.norm(vectors, axis=1))

    def search(first: int) -> Proposals:
        block = slice(first, first + _QUERIES)
        return _search(vectors, queries[block], n, seen[block], eligible, longest)

    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        return Proposals.joined(list(pool.map(search, range(0, len(queries), _QUERIES))), n)


def _search(
    vectors: Floats,
    queries: Floats,
    n: int,
    seen: csr_matrix,
    eligible: NDArray[np.bool_],
    longest: np.floating,
) -> Proposals:
    """The best of a block of queries; longest: the length of the longest vector."""
    users, width = queries.shape
    best = Proposals(np.full((users, 2 * n), -1, dtype=np.int32), np.full((users, 2 * n), -np.inf))
    counts, least = np.zeros(users, dtype=np.int64), np.full(users, -np.inf)
    # How far a product in single precision can be off, and half of what is rounded away.
    errors = np.linalg.norm(queries, axis=1) * longest * width * np.finfo(np.float32).eps + 1 / _MILLION
    for start in range(0, len(vectors), _ITEMS):
        roughly = queries @ vectors[start : start + _ITEMS].T
        part = (start, vectors, queries, eligible, seen.indptr, seen.indices)
        _keep_best(roughly, errors, part, best.items, best.scores, counts, least)
    order = np.argsort(-best.scores, axis=1, kind="stable")[:, :n]
    return Proposals(np.take_along_axis(best.items, order, 1), np.take_along_axis(best.scores, order, 1))


@compiled("reassoc")
def _keep_best(
    roughly: Floats,
    errors: NDArray[np.floating],
    part: tuple[int, Floats, Floats, NDArray[np.bool_], Codes, Codes],
    items: Codes,
    scores: NDArray[np.float64],
    counts: NDArray[np.int64],
    least: NDArray[np.float64],
) -> None:
    """Add a part's items to the best of each query so far, in the order of items; a later tie never enters.

    roughly: shape (queries, items of the part), the products but for `errors`. An item that may be among the
    best gets its product in double precision, from which neither threads nor the layout of a block take bits.
    items, scores: shape (queries, 2 n), n of them best and sorted once `least` says what the n-th has.
    """
    start, vectors, queries, eligible, seen_starts, seen_items = part
    n = items.shape[1] // 2
    for query in range(len(roughly)):
        seen = seen_items[seen_starts[query] : seen_starts[query + 1]]
        enough = least[query] - errors[query]
        for place in range(roughly.shape[1]):
            if not roughly[query, place] > enough:
                continue
            item = start + place
            before = np.searchsorted(seen, item)
            if not eligible[item] or (before < len(seen) and seen[before] == item):
                continue
            score = 0.0
            for axis in range(vectors.shape[1]):
                score += np.float64(queries[query, axis]) * np.float64(vectors[item, axis])
            score = np.rint(score * _MILLION) / _MILLION
            if not score > least[query]:
                continue
            items[query, counts[query]], scores[query, counts[query]] = item, score
            counts[query] += 1
            if counts[query] == 2 * n:
                order = np.argsort(-scores[query], kind="mergesort")[:n]
                items[query, :n], items[query, n:] = items[query][order], -1
                scores[query, :n], scores[query, n:] = scores[query][order], -np.inf
                counts[query], least[query] = n, scores[query, n - 1]
                enough = least[query] - errors[query]


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
