"""Recall by implicit ALS: users and items in one space, learnt from who took what."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from feature_store.sections import Recall
from jobs.recommender.history import Codes, Floats, History, codes
from jobs.recommender.proposals import Proposals, nearest
from jobs.recommender.threads import cores, one_blas_thread


@dataclass(frozen=True)
class Als:
    """Fitted factors; the known flags tell whom and what they were learnt for.

    user_factors: shape (users, factors). item_factors: shape (items, factors).
    """

    user_factors: Floats
    item_factors: Floats
    known_users: NDArray[np.bool_]
    known_items: NDArray[np.bool_]
    name: str = "als"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n unseen items with the largest product of factors."""
        known = self.known_users[users]
        if known.all():  # without a copy of what is seen
            return nearest(self.item_factors, self.user_factors[users], n, seen, self.known_items)
        found = nearest(self.item_factors, self.user_factors[users[known]], n, seen[known], self.known_items)
        return found.spread(known)


def fit(history: History, synthetic: pa.Table, settings: Recall) -> Als:
    """Fit ALS on confidences (see `confidences`). Source: Hu, Koren and Volinsky, 2008.

    synthetic: rows of synthetic_interactions; they enter here and nowhere else in recall.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    matrix = confidences(history, synthetic, settings)
    known_users = np.diff(matrix.indptr) > 0
    known_items = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
    if not matrix.nnz:
        empty = [np.zeros((size, settings.factors), dtype=np.float32) for size in matrix.shape]
        return Als(empty[0], empty[1], known_users, known_items)
    with one_blas_thread():
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            iterations=settings.iterations,
            num_threads=cores(),
            random_state=settings.seed,
        )
        model.fit(matrix, show_progress=False)
    return Als(model.user_factors, model.item_factors, known_users, known_items)


def confidences(history: History, synthetic: pa.Table, settings: Recall) -> csr_matrix:
    """How sure it is that a user wants an item: 1 + alpha * strength, shape (users, items).

    See `History.strengths`. With a half-life the 1 fades with the strength, so that what was long ago says
    nothing rather than little. A synthetic interaction counts synthetic_weight times its confidence of an
    average event: nothing at confidence 0. Beside an event of the same user it adds to the strength alone.
    """
    strength = history.strengths()
    sure = strength.copy()
    sure.data[:] = 1
    if settings.half_life_days:
        faded = history.strengths(settings.half_life_days)
        sure, strength = faded.multiply(strength.power(-1)).tocsr(), faded
    imagined = imagined_events(history, synthetic, settings.synthetic_weight)
    if imagined.nnz:
        sure, strength = sure.maximum(imagined).tocsr(), (strength + imagined).tocsr()
    confidence = (sure + settings.alpha * strength).tocsr().astype(np.float32)
    confidence.eliminate_zeros()
    confidence.sort_indices()
    return confidence


def imagined_events(history: History, synthetic: pa.Table, weight: float) -> csr_matrix:
    """Strength of the synthetic interactions that count at all, of those asked several times the mean."""
    users = codes(synthetic["user_id"], history.user_ids)
    items = codes(synthetic["item_id"], history.item_ids)
    strength = weight * synthetic["confidence"].to_numpy().astype(np.float32)
    listed = (users >= 0) & (items >= 0) & (strength > 0)
    shape = (len(history.user_ids), len(history.item_ids))
    imagined = csr_matrix((strength[listed], (users[listed], items[listed])), shape=shape)
    # The same user may be asked about an item beside several others; one opinion is one opinion.
    asked = csr_matrix((np.ones(int(listed.sum())), (users[listed], items[listed])), shape=shape)
    imagined.sum_duplicates()
    asked.sum_duplicates()
    imagined.data /= np.maximum(asked.data, 1)
    return imagined
