"""Settings of the recall channels, searched on past windows: a small, seeded search, and doubt about it.

Each channel is tuned by itself. What is found replaces the settings only where it is better than they are by
more than a standard error of the difference, user by user: with few users everything stays as it is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store.sections import Recall
from jobs.recommender import als, content, item_knn, trending
from jobs.recommender.channels import Channel, Tables
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend
from jobs.recommender.vectors import aligned
from jobs.recommender.windows import Window

PerUser = NDArray[np.float64]
# Places of the list whose order counts, and of the proposals that count whatever their order.
TOP = 10
# A half-life longer than the history is none.
_NEVER = 2.0
_CONTENT_HISTORY = 50


@dataclass(frozen=True)
class Space:
    """What can be changed of a channel, and how it is fitted.

    suggest: changed settings out of an Optuna trial, given the days of history. before: what fits the channel
    to a window with any settings; what does not depend on them is done once.
    """

    channel: str
    suggest: Callable[[Any, float], dict[str, Any]]
    before: Callable[[Window, Tables], Callable[[Recall], Channel]]


def _half_life(trial: Any, name: str, days: float) -> float:
    """Between a hundredth and twice the length of the history; 0, which is none, where it is longer."""
    found: float = trial.suggest_float(name, days / 100, _NEVER * days, log=True)
    return round(found, 3) if found < days else 0.0


def _als(trial: Any, days: float) -> dict[str, Any]:
    return {
        "factors": trial.suggest_int("factors", 8, 96, log=True),
        "regularization": round(trial.suggest_float("regularization", 0.003, 3, log=True), 5),
        "alpha": round(trial.suggest_float("alpha", 0.3, 40, log=True), 3),
        "half_life_days": _half_life(trial, "half_life_days", days),
    }


def _item_knn(trial: Any, days: float) -> dict[str, Any]:
    return {
        "knn_similarity": trial.suggest_categorical("knn_similarity", ["cosine", "jaccard"]),
        "knn_neighbours": trial.suggest_int("knn_neighbours", 10, 300, log=True),
        "knn_shrinkage": round(trial.suggest_float("knn_shrinkage", 0.3, 100, log=True), 2),
        "knn_half_life_days": _half_life(trial, "knn_half_life_days", days),
    }


def _trending(trial: Any, days: float) -> dict[str, Any]:
    found = trial.suggest_float("trending_half_life_days", days / 300, _NEVER * days, log=True)
    return {"trending_half_life_days": round(found, 3)}


def _content(trial: Any, days: float) -> dict[str, Any]:
    return {"content_history": trial.suggest_int("content_history", 1, _CONTENT_HISTORY, log=True)}


def _fit_als(window: Window, tables: Tables, settings: Recall) -> Channel:
    return als.fit(window.history, tables.synthetic_interactions, settings)


def _content_before(window: Window, tables: Tables) -> Callable[[Recall], Channel]:
    # Neighbours take long and do not depend on how much of a history speaks.
    vectors = aligned(tables.item_embeddings, "item_id", window.history.item_ids)
    longest = content.fit(window.history, vectors, _CONTENT_HISTORY)
    return lambda s: replace(longest, recent=longest.recent[:, : s.content_history])


SPACES = (
    Space("als", _als, lambda window, tables: partial(_fit_als, window, tables)),
    Space("item_knn", _item_knn, lambda window, _: lambda s: item_knn.fit(window.history, s, window.users)),
    Space("trending", _trending, lambda w, _: lambda s: trending.fit(w.history, s.trending_half_life_days)),
    Space("content", _content, _content_before),
)


@dataclass(frozen=True)
class Quality:
    """NDCG@10 and recall of each user's proposals: shape (users,)."""

    ndcg: PerUser
    recall: PerUser

    @classmethod
    def joined(cls, parts: Sequence["Quality"]) -> "Quality":
        """The users of several windows, one window after the other."""
        return cls(
            np.concatenate([part.ndcg for part in parts]), np.concatenate([part.recall for part in parts])
        )

    def against(self, usual: "Quality") -> PerUser:
        """Each user's gain over the usual, both measures in units of the usual's mean: 0 is as good."""
        gains = [
            (mine - theirs) / max(theirs.mean(), 1e-3)
            for mine, theirs in ((self.ndcg, usual.ndcg), (self.recall, usual.recall))
        ]
        return np.mean(gains, axis=0)


def quality(found: Proposals, window: Window) -> Quality:
    """How well proposals fit what the window's users took."""
    hits = hit_places(found, window)
    wanted = np.diff(window.relevant.indptr)
    return Quality(ndcg(hits, wanted), hits.sum(axis=1) / wanted)


def hit_places(found: Proposals, window: Window) -> NDArray[np.bool_]:
    """Where proposals were taken: shape (users, n)."""
    users, items = window.relevant.shape
    taken = np.zeros((users, items + 1), dtype=bool)  # the last column is for places without an item
    taken[np.repeat(np.arange(users), np.diff(window.relevant.indptr)), window.relevant.indices] = True
    hits: NDArray[np.bool_] = np.take_along_axis(taken, found.items.astype(np.int64), axis=1)
    return hits


def ndcg(hits: NDArray[np.bool_], wanted: NDArray[np.integer]) -> PerUser:
    """NDCG@10 of lists with these hits, users who took `wanted` items: shape (users,)."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    top = hits[:, :TOP]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(wanted, TOP)]
    gained: PerUser = top @ discount[: top.shape[1]] / ideal
    return gained


@dataclass(frozen=True)
class Search:
    """A seeded search of so many trials a channel, judged by the users of some past windows."""

    windows: Sequence[Window]
    tables: Tables
    trials: int
    seed: int

    def improved(self, space: Space, settings: Recall) -> tuple[Recall, int]:
        """The settings with those of one channel replaced where others proved better; trials made."""
        fits = [space.before(window, self.tables) for window in self.windows]
        usual = self._quality(fits, settings)
        if not usual.recall.any():
            return settings, 0
        tried: list[tuple[dict[str, Any], PerUser]] = []
        days = max(float(window.history.ages.max(initial=1.0)) for window in self.windows)

        def objective(trial: Any) -> float:
            changed = space.suggest(trial, days)
            gains = self._quality(fits, settings.model_copy(update=changed)).against(usual)
            tried.append((changed, gains))
            return float(gains.mean())

        study(self.seed).optimize(objective, n_trials=self.trials)
        changed, gains = max(tried, key=lambda entry: entry[1].mean(), default=({}, np.zeros(1)))
        return settings.model_copy(update=changed if clearly_better(gains) else {}), len(tried)

    def _quality(self, fits: Sequence[Callable[[Recall], Channel]], settings: Recall) -> Quality:
        parts = []
        for window, fit in zip(self.windows, fits, strict=True):
            found = fit(settings).recommend(window.users, settings.per_channel, window.seen)
            parts.append(quality(found, window))
        return Quality.joined(parts)


def study(seed: int) -> Any:
    """An Optuna study that maximises, the same for the same seed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
    return optuna.create_study(direction="maximize", sampler=sampler)


def clearly_better(gains: PerUser) -> bool:
    """Whether gains, user by user, are more than a standard error above nothing."""
    if len(gains) < 2:
        return False
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def applied(row: Mapping[str, Any], settings: Recall) -> tuple[Recall, Blend]:
    """The settings with what a row of tunings replaces, and its blend."""
    changed = Recall.model_validate(settings.model_dump() | json.loads(row["parameters"]))
    return changed, Blend(json.loads(row["quotas"]), json.loads(row["weights"]))
