"""How much each sign counts that a cold item is for a user: learnt on items held out whole.

score(user, item) = far * <user, item> + near * log sum_h exp(sum_b weight_b cosine_b(h, item))

The first product is of the two towers (`towers`): taste, over all the user took. The second is attention over
the history: it lives from the few things in it that the item is most like, by each block of `item_words`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, Floats
from jobs.recommender.item_words import NAMES, ItemWords

# Where learning begins: a cosine of all blocks together that is larger by 1/15 counts e times as much.
_SHARPNESS = 15.0
# Pulls each number to where it began, with the weight of so many users.
_PRIOR = 2.0
_STEPS = 60
# Added to a sum of exponentials, of which the largest may be exp(-sharpness).
FLOOR = 1e-9


@dataclass(frozen=True)
class Mixture:
    """far, near: what the two products count. weights: of each block's cosine in the second, by its name."""

    far: float
    near: float
    weights: Mapping[str, float]

    @classmethod
    def default(cls) -> "Mixture":
        """Before anything is learnt: text and words count, the others do not."""
        return cls(1.0, 1.0, {name: _SHARPNESS / 2 if name in ("text", "words") else 0.0 for name in NAMES})

    def nearness(self, words: ItemWords, history: Codes, items: Codes) -> Floats:
        """exp of the weighted cosines less their sum, of each item of a history with each item: at most 1."""
        total = np.full((len(history), len(items)), -sum(self.weights.values()), dtype=np.float32)
        for name, weight in self.weights.items():
            if weight:
                total += np.float32(weight) * words.cosines(name, history, items)
        return np.exp(total)

    def scores(self, words: ItemWords, held: "HeldOut") -> Floats:
        """The score of each user for each held-out item: shape (users, items)."""
        near = nearby(held.has, self.nearness(words, held.history, held.items))
        return np.asarray(self.far * held.far + self.near * near, dtype=np.float32)


@dataclass(frozen=True)
class HeldOut:
    """Items nobody has touched as far as the towers know, and who took them.

    items: codes. history: codes of what their users took otherwise. has: ones, shape (users, history).
    took: ones, shape (users, items). far: product of the towers, shape (users, items).
    """

    items: Codes
    history: Codes
    has: csr_matrix
    took: csr_matrix
    far: Floats


def learn(words: ItemWords, held: HeldOut) -> Mixture:
    """The mixture under which the users' own held-out items are most likely among all of them.

    Multinomial likelihood, maximised by L-BFGS; weights are kept positive by learning their logarithms, and
    each number is held near to where it began.
    """
    import torch

    names = [name for name in NAMES if _speaks(words, name, held)]
    if not names or not held.took.nnz:
        return Mixture.default()
    cosines = [torch.as_tensor(words.cosines(name, held.history, held.items)) for name in names]
    far, has = torch.as_tensor(held.far), torch.as_tensor(held.has.toarray())
    took = torch.as_tensor(held.took.toarray())
    took = took / took.sum(1, keepdim=True)
    # The numbers learnt are logarithms of factors of these.
    begin = torch.tensor(
        [1 / max(float(far.std(1).mean()), 1e-6), 1.0, *[_SHARPNESS / len(names)] * len(names)]
    )
    numbers = torch.zeros(len(begin), requires_grad=True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        far_weight, near_weight, *weights = begin * numbers.exp()
        exponents = torch.stack([w * (c - 1) for w, c in zip(weights, cosines, strict=True)]).sum(0)
        near = torch.log(has @ torch.exp(exponents) + FLOOR)
        likely = torch.log_softmax(far_weight * far + near_weight * near, 1)
        found = -(took * likely).sum() + _PRIOR * numbers.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    found = (begin * numbers.detach().exp()).round(decimals=4).tolist()
    return Mixture(found[0], found[1], dict(zip(names, found[2:], strict=True)))


def _speaks(words: ItemWords, name: str, held: HeldOut) -> bool:
    """Whether a block has anything to say of the held-out items."""
    block = getattr(words, name)
    return bool(block.shape[1]) and bool(abs(block[held.items]).sum())


def nearby(has: csr_matrix, nearness: NDArray[np.floating]) -> Floats:
    """The second product for users: shape (users, items). has: ones, shape (users, history)."""
    return np.log(has @ nearness + FLOOR).astype(np.float32)
