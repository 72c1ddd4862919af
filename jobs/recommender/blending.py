"""The blend of channels that serves past windows best, and how good the merged list is with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_store.sections import Recall
from feature_store.tables import BLENDED
from jobs.recommender import channels
from jobs.recommender.fusion import K, Merged, merge
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend, Proposed, learn_quotas, learn_weights
from jobs.recommender.tuning import TOP, Quality, clearly_better
from jobs.recommender.windows import Window


@dataclass(frozen=True)
class Trial:
    """What the channels, fitted with some settings, propose to the users of past windows."""

    windows: Sequence[Window]
    proposals: Sequence[Mapping[str, Proposals]]
    settings: Recall

    def quality(self, blend: Blend) -> Quality:
        """NDCG@10 and candidate recall of the merged list, user by user in the order of the windows."""
        parts = [
            _quality(self._merged(window, found, blend), window)
            for window, found in zip(self.windows, self.proposals, strict=True)
        ]
        return Quality.joined(parts)

    def _merged(self, window: Window, found: Mapping[str, Proposals], blend: Blend) -> Merged:
        deep = {name: max(self.settings.per_channel, quota) for name, quota in blend.quotas.items()}
        cut = {
            name: Proposals(p.items[:, : deep[name]], p.scores[:, : deep[name]]) for name, p in found.items()
        }
        return merge(cut, window.seen.shape[1], self.settings.blended, blend)


def propose(windows: Sequence[Window], tables: channels.Tables, settings: Recall) -> Trial:
    """Fit every channel before each window and let it propose as many items as there are candidates."""
    wanted = dict.fromkeys(BLENDED, max(settings.candidates, settings.per_channel))
    found = [
        channels.fit(window.history, tables, settings).propose(window.users, wanted, window.seen)
        for window in windows
    ]
    return Trial(windows, found, settings)


def learn(trial: Trial) -> Blend:
    """Quotas and weights learnt from the trial, each kept at equal shares unless it proves better.

    It has to do so for users it was not learnt from: from each half of them for the other half.
    """
    blend = Blend.equal(trial.settings.blended)
    users = sum(len(window.users) for window in trial.windows)

    def with_weights(chosen: NDArray[np.bool_]) -> Blend:
        found = learn_weights(_proposed(trial, chosen)).round(4).tolist()
        return Blend(blend.quotas, dict(zip(BLENDED, found, strict=True)))

    def with_quotas(chosen: NDArray[np.bool_]) -> Blend:
        ranks, worth = _ranks_of_taken(trial, chosen)
        return Blend(learn_quotas(ranks, worth, trial.settings.blended), blend.weights)

    if _proves_better(trial, with_weights, blend, lambda quality: quality.ndcg):
        blend = with_weights(np.ones(users, dtype=bool))
    if _proves_better(trial, with_quotas, blend, lambda quality: quality.recall):
        blend = with_quotas(np.ones(users, dtype=bool))
    return blend


def _proves_better(
    trial: Trial,
    fit: Callable[[NDArray[np.bool_]], Blend],
    usual: Blend,
    measure: Callable[[Quality], NDArray[np.float64]],
) -> bool:
    before = measure(trial.quality(usual))
    if len(before) < 2:
        return False
    half = np.arange(len(before)) % 2 == 0
    one, other = measure(trial.quality(fit(~half))), measure(trial.quality(fit(half)))
    return clearly_better(np.where(half, one, other) - before)


def _quality(merged: Merged, window: Window) -> Quality:
    users, size = window.relevant.shape
    hit = np.isin(merged.users * size + merged.items, _keys(window))
    wanted = np.diff(window.relevant.indptr)
    high = hit & (merged.ranks <= TOP)
    gained = np.bincount(merged.users[high], 1 / np.log2(merged.ranks[high] + 1), minlength=users)
    found = np.bincount(merged.users[hit], minlength=users)
    return Quality(gained / _ideal(wanted), found / wanted)


def _keys(window: Window) -> NDArray[np.int64]:
    users, size = window.relevant.shape
    rows = np.repeat(np.arange(users, dtype=np.int64), np.diff(window.relevant.indptr))
    return rows * size + window.relevant.indices


def _ideal(wanted: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, TOP + 2)))])[np.minimum(wanted, TOP)]


def _proposed(trial: Trial, chosen: NDArray[np.bool_]) -> Proposed:
    """What the chosen users of all windows were proposed; users are counted through."""
    everything = Blend(dict.fromkeys(BLENDED, 0), dict.fromkeys(BLENDED, 1.0))
    users, shares, taken, ideal, start = [], [], [], [], 0
    for window, found in zip(trial.windows, trial.proposals, strict=True):
        cut = {
            name: Proposals(
                p.items[:, : trial.settings.per_channel], p.scores[:, : trial.settings.per_channel]
            )
            for name, p in found.items()
        }
        size = window.seen.shape[1]
        merged = merge(cut, size, len(BLENDED) * trial.settings.per_channel, everything)
        order = np.lexsort((merged.items, merged.users))
        kept = order[chosen[start + merged.users[order]]]
        ranks = np.stack([merged.channel_ranks[name][kept] for name in BLENDED], axis=1)
        users.append(start + merged.users[kept])
        shares.append(np.where(ranks > 0, K / (K + ranks), 0.0))
        taken.append(np.isin(merged.users[kept] * size + merged.items[kept], _keys(window)))
        ideal.append(_ideal(np.diff(window.relevant.indptr)))
        start += len(window.users)
    places = np.cumsum(chosen) - 1
    return Proposed(
        places[np.concatenate(users)],
        np.concatenate(shares),
        np.concatenate(taken),
        np.concatenate(ideal)[chosen],
    )


def _ranks_of_taken(trial: Trial, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where each channel ranked each item a chosen user took, and what finding it adds to mean recall."""
    ranks, worth, start = [], [], 0
    for window, found in zip(trial.windows, trial.proposals, strict=True):
        wanted = np.diff(window.relevant.indptr)
        rows = np.repeat(np.arange(len(wanted)), wanted)
        kept = chosen[start + rows]
        columns = [
            _ranks(found[name], window.relevant.shape[1], rows, window.relevant.indices) for name in BLENDED
        ]
        ranks.append(np.stack(columns, axis=1)[kept])
        worth.append(1 / wanted[rows[kept]])
        start += len(window.users)
    return np.concatenate(ranks), np.concatenate(worth) / max(int(chosen.sum()), 1)


def _ranks(
    found: Proposals, size: int, rows: NDArray[np.integer], items: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The rank of each pair of a user's place and an item, 0 where it was not proposed."""
    place = np.zeros((len(found.items), size + 1), dtype=np.int32)
    ranks = np.arange(1, found.items.shape[1] + 1, dtype=np.int32)
    np.put_along_axis(place, found.items.astype(np.int64), np.broadcast_to(ranks, found.items.shape), axis=1)
    return place[rows, items].astype(np.int64)
