"""Two towers for items: what an item says of a user who took it, and for whom an item is, before anybody did.

Both are linear in what is known of the item (`item_words`). The first also has a vector of its own for each
item, which is dropped at random while learning (DropoutNet; Volkovs and others, 2017), and the second never
has: so it has to do without the events that a cold item does not have. Contrastive: of each user one half of
the items is shown, and the other half has to be told apart from what the other users of the batch took,
corrected for how likely an item is to be among those (Yi and others, 2019).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from feature_store.sections import Alignment
from jobs.recommender.history import Codes, Floats
from jobs.recommender.item_words import ItemWords

if TYPE_CHECKING:
    import torch

# Items of a user that a step looks at, and items of a step that are told apart.
_ITEMS, _CANDIDATES = 128, 8192
_DROPPED_INPUTS, _DROPPED_ITEMS = 0.3, 0.5
_START = 0.05


@dataclass(frozen=True)
class Batch:
    """Users (rows) with the items they are shown by and those to be found.

    shown: codes of items, shape (n,), and who has them: shape (users, n). candidates, wanted: the same for
    what is to be found. barred: candidates a user is shown. chance: of each candidate to be in the batch.
    """

    shown: Codes
    has: csr_matrix
    candidates: Codes
    wanted: csr_matrix
    barred: csr_matrix
    chance: Floats


def batches(taken: csr_matrix, users: Codes, size: int, random: np.random.Generator) -> Iterator[Batch]:
    """All these users once, in their order. taken: ones, shape (users, items)."""
    share = np.asarray(taken.sum(axis=0)).ravel() / max(taken.nnz, 1)
    for start in range(0, len(users), size):
        rows = taken[users[start : start + size]]
        of_user = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        shuffled = np.lexsort((random.random(rows.nnz), of_user))
        of_user, items = of_user[shuffled], rows.indices[shuffled]
        place = np.arange(rows.nnz) - rows.indptr[of_user]
        half = np.minimum(np.diff(rows.indptr), _ITEMS)[of_user] // 2
        first, second = place < half, (place >= half) & (place < _ITEMS)
        if first.any():
            yield _batch(of_user, items, first, second, share, rows.shape[0])


def _batch(
    of_user: NDArray[np.int64],
    items: Codes,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    share: NDArray[np.float64],
    users: int,
) -> Batch:
    shown, wanted = np.unique(items[first]), np.unique(items[second])
    if len(wanted) > _CANDIDATES:  # every so manieth, which is as random as the users are
        wanted = wanted[:: -(-len(wanted) // _CANDIDATES)]
    chance = -np.expm1(int(second.sum()) * np.log1p(-np.minimum(share[wanted], 0.999999)))

    def matrix(who: NDArray[np.bool_], columns: Codes) -> csr_matrix:
        at = np.searchsorted(columns, items[who]).clip(max=len(columns) - 1)
        there = columns[at] == items[who]
        ones = np.ones(int(there.sum()), dtype=np.float32)
        return csr_matrix((ones, (of_user[who][there], at[there])), shape=(users, len(columns)))

    return Batch(shown, matrix(first, shown), wanted, matrix(second, wanted), matrix(first, wanted), chance)


class Towers:
    """The two towers and how they learn; `vectors` is what they have learnt."""

    def __init__(self, words: ItemWords, settings: Alignment) -> None:
        import torch

        self._torch, self._settings = torch, settings
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._text = torch.tensor(words.text, device=self._device)
        self._words = hstack([words.words, words.facts, words.code], format="csr", dtype=np.float32)
        random = torch.Generator().manual_seed(settings.seed)
        d, width = settings.dimensions, words.text.shape[1]

        def start(rows: int, scale: float) -> "torch.Tensor":
            made = torch.randn(rows, d, generator=random) * scale
            return made.to(self._device).requires_grad_()

        self.parameters = {
            "shown_text": start(width, _START),
            "shown_words": start(max(self._words.shape[1], 1), _START),
            "shown_item": start(len(words.text), 0.01),
            "wanted_text": start(width, _START),
            "wanted_words": start(max(self._words.shape[1], 1), _START),
        }
        self.optimizer = torch.optim.Adam(list(self.parameters.values()), lr=settings.learning_rate)

    def learn(self, taken: csr_matrix, users: Codes, epoch: int) -> float:
        """One pass over these users, or so many of them; the mean loss. The same in whatever process."""
        torch = self._torch
        random = np.random.default_rng((self._settings.seed, epoch))
        losses = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.integers(2**31)))
            rate = self._settings.learning_rate * min(1.0, (epoch + 1) / self._settings.warm_up)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            drawn = random.permutation(users)[: self._settings.pass_users]
            for batch in batches(taken, drawn, self._settings.users, random):
                loss = self._loss(batch)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
        return float(np.mean(losses)) if losses else 0.0

    def _loss(self, batch: Batch) -> "torch.Tensor":
        torch = self._torch
        own = self.parameters["shown_item"][
            torch.as_tensor(batch.shown, device=self._device, dtype=torch.long)
        ]
        kept = (torch.rand(len(own), 1, device=self._device) >= _DROPPED_ITEMS) / (1 - _DROPPED_ITEMS)
        shown = self._tower("shown", batch.shown, True) + own * kept
        wanted = self._tower("wanted", batch.candidates, True)
        counts = np.maximum(np.diff(batch.has.indptr), 1)
        users = (self._dense(batch.has) @ shown) / torch.as_tensor(
            np.sqrt(counts)[:, None], dtype=torch.float32, device=self._device
        )
        corrected = torch.as_tensor(np.log(batch.chance), dtype=torch.float32, device=self._device)
        scores = (users @ wanted.T - corrected).masked_fill(self._dense(batch.barred) > 0, -1e9)
        target = self._dense(batch.wanted)
        size = target.sum(1)
        loss = -(target * torch.log_softmax(scores, 1)).sum(1)[size > 0] / size[size > 0]
        return loss.mean() if len(loss) else scores.sum() * 0

    def _tower(self, name: str, items: Codes, learning: bool) -> "torch.Tensor":
        """The vectors of items by what is known of them: shape (n, d)."""
        torch = self._torch
        text = self._text[torch.as_tensor(items, device=self._device, dtype=torch.long)]
        words = self._words[items]
        weights = torch.as_tensor(words.data, device=self._device)
        if learning:
            text = torch.nn.functional.dropout(text, _DROPPED_INPUTS)
            weights = torch.nn.functional.dropout(weights, _DROPPED_INPUTS)
        said = torch.nn.functional.embedding_bag(
            torch.as_tensor(words.indices, device=self._device, dtype=torch.long),
            self.parameters[f"{name}_words"],
            torch.as_tensor(words.indptr[:-1], device=self._device, dtype=torch.long),
            mode="sum",
            per_sample_weights=weights,
        )
        return text @ self.parameters[f"{name}_text"] + said

    def _dense(self, matrix: csr_matrix) -> "torch.Tensor":
        return self._torch.as_tensor(matrix.toarray(), device=self._device)

    def vectors(self, own: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """What each item says of a user who took it, and for whom it is: shape (items, d) both.

        own: which items have learnt a vector of their own.
        """
        torch = self._torch
        everything = np.arange(self._words.shape[0], dtype=np.int32)
        with torch.no_grad():
            shown = self._tower("shown", everything, False)
            shown += self.parameters["shown_item"] * torch.as_tensor(own[:, None], device=self._device)
            wanted = self._tower("wanted", everything, False)
        return shown.cpu().numpy(), wanted.cpu().numpy()

    def state(self) -> dict[str, "torch.Tensor"]:
        """A copy of everything that learning goes on from."""
        found = {name: tensor.detach().clone() for name, tensor in self.parameters.items()}
        for name, tensor in self.parameters.items():
            for key, value in self.optimizer.state[tensor].items():
                found[f"{name}.{key}"] = value.detach().clone()
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        torch = self._torch
        for name, tensor in self.parameters.items():
            with torch.no_grad():
                tensor.copy_(state[name])
            kept = {k.split(".", 1)[1]: v for k, v in state.items() if k.startswith(f"{name}.")}
            # Adam counts its steps on the CPU wherever the rest is.
            self.optimizer.state[tensor] = {
                key: value if key == "step" else value.to(self._device) for key, value in kept.items()
            }
