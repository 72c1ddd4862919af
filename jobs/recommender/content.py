"""Recall by text: items whose vectors are nearest to the user's, whether anybody took them or not."""

from dataclasses import dataclass

from scipy.sparse import csr_matrix

from feature_store.errors import NightmillError
from jobs.recommender.history import Codes
from jobs.recommender.proposals import Proposals, nearest
from jobs.recommender.vectors import Vectors


@dataclass(frozen=True)
class Content:
    """User and item vectors in one text space."""

    users: Vectors
    items: Vectors
    name: str = "content"

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The n unseen items with the largest cosine to each user's vector."""
        known = self.users.known[users]
        queries = self.users.matrix[users[known]]
        return nearest(self.items.matrix, queries, n, seen[known], self.items.known).spread(known)


def fit(users: Vectors, items: Vectors) -> Content:
    """Pair the vectors; NightmillError when they are not of one model."""
    if users.known.any() and items.known.any() and users.model != items.model:
        raise NightmillError(
            f"user vectors are of {users.model}, item vectors of {items.model}: run `nightmill embed` again"
        )
    return Content(users, items)
