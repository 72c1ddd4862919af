"""References of `nightmill bench cold-start`: simple ways to rank items that nobody has touched.

Each makes scores of some users for the held-out items out of what is known in a trial. Of a few settings the
one is taken that does best on known items held out in the same way, as a careful team would.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from feature_store.sections import Recall
from feature_store.tables import TABLES
from infra.benchmarks.cold_start_known import Known
from infra.benchmarks.cold_start_split import SHARE
from jobs.recommender import als, metrics
from jobs.recommender.control import tfidf_vectors
from jobs.recommender.history import Codes

K = 20
BLOCK = 1024  # users scored together
_COUNTED = 3
Scores = NDArray[np.float64]
# Scores of some users for the held-out items: codes, shape (n,) -> shape (n, held-out items).
Scorer = Callable[[Codes], Scores]


def random(known: Known, recall: Recall) -> Scorer:
    """Any order, another one for each user: the floor."""
    seed = recall.seed

    def score(users: Codes) -> Scores:
        return np.stack([np.random.default_rng((seed, int(u))).random(len(known.cold)) for u in users])

    return score


def mean(known: Known, recall: Recall) -> Scorer:
    """Cosine to the mean vector of everything the user took."""
    cosines = known.vectors.matrix @ known.vectors.matrix[known.cold].T
    taken = known.history.taken

    def score(users: Codes) -> Scores:
        counts = np.maximum(np.diff(taken[users].indptr), 1)
        return np.asarray(taken[users] @ cosines / counts[:, None], dtype=np.float64)

    return score


def top3(known: Known, recall: Recall) -> Scorer:
    """Mean of the three largest cosines to what the user took."""
    return largest(all_of(known), known.vectors.matrix @ known.vectors.matrix[known.cold].T)


def tfidf(known: Known, recall: Recall) -> Scorer:
    """As `top3`, with TF-IDF of the same texts in place of embeddings."""
    vectors = tfidf_vectors(list(known.texts))
    return largest(all_of(known), (vectors @ vectors[known.cold].T).toarray())


def ridge(known: Known, recall: Recall, factors: int, penalty: float) -> Scorer:
    """ALS factors of the held-out items by ridge regression from their vectors."""
    fitted = _als(known, recall, factors)
    vectors, targets = known.vectors.matrix[known.warm], fitted.item_factors[known.warm]
    square = vectors.T @ vectors + penalty * np.eye(vectors.shape[1], dtype=np.float32)
    made = known.vectors.matrix[known.cold] @ np.linalg.solve(square, vectors.T @ targets)
    return lambda users: np.asarray(fitted.user_factors[users] @ made.T, dtype=np.float64)


def neighbours(known: Known, recall: Recall, factors: int, nearest: int) -> Scorer:
    """ALS factors of the held-out items as those of the nearest known items, weighted by cosine."""
    fitted = _als(known, recall, factors)
    cosines = known.vectors.matrix[known.cold] @ known.vectors.matrix[known.warm].T
    near = np.argsort(-cosines.round(6), axis=1, kind="stable")[:, :nearest]
    weights = np.maximum(np.take_along_axis(cosines, near, axis=1), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)
    made = np.einsum("ck,ckf->cf", weights, fitted.item_factors[known.warm][near])
    return lambda users: np.asarray(fitted.user_factors[users] @ made.T, dtype=np.float64)


REFERENCES: Mapping[str, tuple[Callable[..., Scorer], Mapping[str, tuple[Any, ...]]]] = {
    "random": (random, {}),
    "mean": (mean, {}),
    "top3": (top3, {}),
    "ridge": (ridge, {"factors": (32, 64), "penalty": (0.1, 1.0, 10.0)}),
    "neighbours": (neighbours, {"factors": (32, 64), "nearest": (5, 10, 20)}),
    "tfidf": (tfidf, {}),
}


def chosen(name: str, known: Known, recall: Recall) -> dict[str, Any]:
    """The setting of a reference that does best where known items are held out; the first of equals."""
    fit, grid = REFERENCES[name]
    variants = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(variants) == 1:
        return variants[0]
    inner, truth = within(known, recall.seed)
    users = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(inner.history.taken.indptr) > 0))
    if not len(users):
        return variants[0]

    def quality(variant: dict[str, Any]) -> float:
        found = top(fit(inner, recall, **variant), users.astype(np.int32))
        return round(float(recall_of(found, truth[users]).mean()), 6)

    return max(variants, key=quality)


@cache
def within(known: Known, seed: int) -> tuple[Known, csr_matrix]:
    """A fifth of the known items held out in turn, and who took them: shape (users, items held out)."""
    warm = known.warm
    held = np.sort(np.random.default_rng(seed).choice(warm, int(SHARE * len(warm)), replace=False))
    history = known.history
    left = ~np.isin(history.items, held)
    columns = {name: getattr(history, name)[left] for name in ("users", "items", "ages", "weights")}
    return replace(known, history=replace(history, **columns), cold=held), history.taken[:, held]


def top(scorer: Scorer, users: Codes) -> Codes:
    """Places in `cold` of the K items with the largest scores, users in blocks: shape (users, K).

    Scores that agree to six decimals are a tie, which goes to the smaller item id.
    """
    found = []
    for start in range(0, len(users), BLOCK):
        # Rounded, so that the last bits of a sum decide nothing.
        scores = np.round(scorer(users[start : start + BLOCK]), 6)
        found.append(np.argsort(-scores, axis=1, kind="stable")[:, :K].astype(np.int32))
    return np.concatenate(found)


def recall_of(found: Codes, truth: csr_matrix) -> metrics.PerUser:
    """Recall@K of each user. truth: shape (users, held-out items)."""
    rows = np.repeat(np.arange(len(found)), found.shape[1])
    hits = np.asarray(truth[rows, found.ravel()]).reshape(found.shape) > 0
    return metrics.recall(hits, np.diff(truth.indptr).astype(np.int64), K)


@cache
def _als(known: Known, recall: Recall, factors: int) -> als.Als:
    """Our own ALS on what is known."""
    nothing = TABLES["synthetic_interactions"].schema.empty_table()
    return als.fit(known.history, nothing, recall.model_copy(update={"factors": factors}))


def largest(items: Callable[[int], Codes], cosines: NDArray[np.floating]) -> Scorer:
    """Mean of the three largest cosines of a user's items; 0 without any.

    items: those of a user. cosines: shape (items, held-out items).
    """

    def score(users: Codes) -> Scores:
        found = np.zeros((len(users), cosines.shape[1]))
        for row, user in enumerate(users.tolist()):
            own = cosines[items(user)]
            count = min(_COUNTED, len(own))
            if count:
                found[row] = np.partition(own, len(own) - count, axis=0)[-count:].mean(axis=0)
        return found

    return score


def all_of(known: Known) -> Callable[[int], Codes]:
    """Everything a user took."""
    taken = known.history.taken
    return lambda user: taken.indices[taken.indptr[user] : taken.indptr[user + 1]]
