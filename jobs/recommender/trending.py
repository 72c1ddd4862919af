"""Recall by decayed popularity: what many users took lately, the same order for everyone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, History
from jobs.recommender.proposals import Proposals

# Users looked at together.
_USERS = 256


@dataclass(frozen=True)
class Trending:
    """Items by the sum of their events, each halved every half-life.

    order: item codes, best first. popularity: of the items in `order`.
    """

    order: Codes
    popularity = np.zeros(len(history.item_ids))
    np.add.at(popularity, history.items, decayed)
    touched = np.bincount(history.items, minlength=len(history.item_ids)) > 0
    order = np.argsort(-popularity, kind="stable")
    order = order if whole_catalogue else order[touched[order]]
    return Trending(order.astype(np.int32), popularity[order])
