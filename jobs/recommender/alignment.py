"""From what is known of items to what users take: towers, and the mixture of their word with plain likeness.

The towers are learnt twice. First without a fifth of the items, on which it is seen when to stop and how the
mixture is made: items, not times, are what a cold item is new in. Then, for as many passes, with all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from feature_store.sections import Alignment as Settings
from jobs.recommender import mixture
from jobs.recommender.checkpoint import Checkpoint
from jobs.recommender.history import Codes, Floats, History
from jobs.recommender.item_words import ItemWords
from jobs.recommender.mixture import HeldOut, Mixture
from jobs.recommender.towers import Towers

K = 20
# Events of an item that are looked at, to see from how many on they are worth more than its words.
_EVENTS = (1, 2, 4, 8, 16, 32)
_USUALLY_EQUAL = 4.0


@dataclass(frozen=True)
class Alignment:
    """What was learnt.

    shown, wanted: what an item says of a user who took it, and for whom it is, shape (items, d). passes: over
    the users. held_items, held_users: how many it was tested on; recalls: recall@20 among the held-out items
    by each part ("towers", "nearness", "both"); empty where there were too few to learn a mixture.
    equal_events: with so many events, those who took an item say as much as all that is known of it.
    """

    shown: Floats
    wanted: Floats
    mixture: Mixture
    passes: int
    equal_events: float
    held_items: int
    held_users: int
    recalls: dict[str, float]


@dataclass(frozen=True)
class Run:
    """Where learning keeps its place, and who is told after each pass."""

    checkpoint: Checkpoint
    say: Callable[[str], None]


def align(history: History, words: ItemWords, settings: Settings, run: Run) -> Alignment:
    """Learn towers and mixture; the same for the same data, on the same kind of machine, resumed or not."""
    taken = history.liked
    held = _held_out(taken, words, settings)
    known = np.ones(taken.shape[1], dtype=bool)
    known[held] = False
    towers, passes = Towers(words, settings), settings.passes
    mixed, recalls, users, equal = Mixture.default(), {}, 0, _USUALLY_EQUAL
    if len(held):
        judge = _Judge(taken, held, known, settings)
        passes = _search(towers, taken, known, judge, settings, run)
        case = judge.case(*towers.vectors(known & _touched(taken)))
        mixed, users = mixture.learn(words, case), case.took.shape[0]
        recalls = _recalls(words, case, mixed)
        equal = _equal_events(
            taken, judge, towers.vectors(known & _touched(taken))[0], mixed.scores(words, case)
        )
        towers = Towers(words, settings)
    _learn(towers, taken, passes, run)
    shown, wanted = towers.vectors(_touched(taken))
    return Alignment(shown, wanted, mixed, passes, equal, len(held), users, recalls)


def _touched(taken: csr_matrix) -> NDArray[np.bool_]:
    return np.bincount(taken.indices, minlength=taken.shape[1]) > 0


def _held_out(taken: csr_matrix, words: ItemWords, settings: Settings) -> Codes:
    """A random share of the items that are known and taken; none where too few users would be left to ask."""
    random = np.random.default_rng(settings.seed)
    possible = np.flatnonzero(_touched(taken) & words.known)
    count = min(int(len(possible) * settings.held_share), settings.held_items)
    held = np.sort(random.choice(possible, count, replace=False)).astype(np.int32)
    enough = count > K and len(_askable(taken, held)) >= settings.min_users
    return held if enough else held[:0]


def _askable(taken: csr_matrix, held: Codes) -> Codes:
    """Users who took one of these items and another one."""
    among = np.diff(taken[:, held].indptr)
    return np.flatnonzero((among > 0) & (np.diff(taken.indptr) > among)).astype(np.int32)


class _Judge:
    """How well held-out items are found for a sample of the users who took them."""

    def __init__(self, taken: csr_matrix, held: Codes, known: NDArray[np.bool_], settings: Settings) -> None:
        users = _askable(taken, held)
        random = np.random.default_rng(settings.seed + 1)
        self.users = np.sort(random.choice(users, min(len(users), settings.held_users), replace=False))
        self.held, self.took = held, taken[self.users][:, held].tocsr()
        rows = taken[self.users]
        self.history = np.flatnonzero(_touched(rows) & known).astype(np.int32)
        self.has = rows[:, self.history].tocsr()

    def case(self, shown: Floats, wanted: Floats) -> HeldOut:
        """What a mixture is learnt on."""
        return HeldOut(self.held, self.history, self.has, self.took, self.far(shown, wanted))

    def far(self, shown: Floats, wanted: Floats) -> Floats:
        """The product of the towers: shape (users, held-out items)."""
        return users_of(self.has, shown[self.history]) @ wanted[self.held].T


def users_of(has: csr_matrix, shown: Floats) -> Floats:
    """The vectors of users by what they took: the sum over their items, over the root of their number."""
    counts = np.maximum(np.diff(has.indptr), 1)[:, None]
    return np.asarray((has @ shown) / np.sqrt(counts), dtype=np.float32)


def recall(scores: Floats, took: csr_matrix, k: int = K) -> float:
    """The mean share of what a user took that is among the k best; ties by item."""
    order = np.argsort(-scores.round(6), axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(took.toarray(), order, axis=1).sum(axis=1)
    return float(np.mean(hits / np.diff(took.indptr)))


def _recalls(words: ItemWords, case: HeldOut, mixed: Mixture) -> dict[str, float]:
    near = mixture.nearby(case.has, mixed.nearness(words, case.history, case.items))
    parts = {"towers": case.far, "nearness": near, "both": mixed.scores(words, case)}
    return {name: recall(scores, case.took) for name, scores in parts.items()}


def _equal_events(taken: csr_matrix, judge: _Judge, shown: Floats, scores: Floats) -> float:
    """How many events of an item say as much of whom it is for as `scores`, which know none of them.

    An item's vector is the mean of those of so many users who took it; every other user of the judge is asked
    about, and is none of them. Where even the most do not suffice, it is twice as many.
    """
    asked = np.arange(0, len(judge.users), 2)
    took = judge.took[asked]
    asked, took = asked[np.diff(took.indptr) > 0], took[np.diff(took.indptr) > 0]
    others = np.setdiff1d(np.arange(taken.shape[0]), judge.users[asked])
    known = taken[:, judge.history]
    takers = taken[others][:, judge.held].tocsc()
    random = np.random.default_rng(2)
    # Who is met first is random; with more events the same users are met, and others.
    met = [
        random.permutation(takers.indices[a:b])
        for a, b in zip(takers.indptr, takers.indptr[1:], strict=False)
    ]
    askers = users_of(known[judge.users[asked]], shown[judge.history])
    taste = users_of(known[others], shown[judge.history])
    enough = recall(scores[asked], took)
    for events in _EVENTS:
        folded = np.stack(
            [taste[users[:events]].mean(axis=0) if len(users) else taste[0] * 0 for users in met]
        )
        if recall(askers @ folded.T, took) >= enough:
            return float(events)
    return 2.0 * _EVENTS[-1]


def _search(
    towers: Towers, taken: csr_matrix, known: NDArray[np.bool_], judge: _Judge, settings: Settings, run: Run
) -> int:
    """Learn without the held-out items until they are found no better; the passes of the best state."""
    rest = taken.copy()
    rest.data[~known[rest.indices]] = 0
    rest.eliminate_zeros()
    own = known & _touched(taken)
    users, (position, best) = _learners(rest), run.checkpoint.restored("search", towers)
    while position.passed < settings.passes and position.passed - position.best_at < settings.patience:
        towers.learn(rest, users, position.passed)
        position.passed += 1
        found = recall(judge.far(*towers.vectors(own)), judge.took)
        if found > position.best:
            position.best, position.best_at, best = found, position.passed, towers.state()
        run.checkpoint.keep("search", towers, position, best)
        run.say(f"recall@{K} of held-out items {found:.3f}, best {position.best:.3f}")
    towers.restore(best)
    return position.best_at


def _learn(towers: Towers, taken: csr_matrix, passes: int, run: Run) -> None:
    """Learn from everything for so many passes."""
    users, (position, _) = _learners(taken), run.checkpoint.restored("all", towers)
    while position.passed < passes:
        loss = towers.learn(taken, users, position.passed)
        position.passed += 1
        run.checkpoint.keep("all", towers, position, {})
        run.say(f"loss {loss:.3f}")


def _learners(taken: csr_matrix) -> Codes:
    """Users with two items: one to be shown by and one to be found."""
    return np.flatnonzero(np.diff(taken.indptr) > 1).astype(np.int32)
