"""Our side of `nightmill bench cold-start`: the product's own channels, each part alone and together.

filter: text similarity alone. alignment: the channel `cold_start`, made of towers and likeness. judgement:
ALS with the synthetic interactions in it, put together with the filter as recall merges its channels
(`fusion`). all: the channel with the synthetic interactions in it.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import pyarrow as pa

from feature_store.sections import Recall
from feature_store.tables import TABLES
from infra.benchmarks.cold_start_known import Known, run_job
from infra.benchmarks.cold_start_references import Scorer, Scores, all_of, largest
from jobs import align_embeddings
from jobs.fit_recall import cold_tables
from jobs.night import Night
from jobs.recommender import als, cold_start, content, item_words
from jobs.recommender.cold_start import ColdStart
from jobs.recommender.fusion import K as FUSION
from jobs.recommender.history import Codes


def filtered(known: Known, recall: Recall) -> Scorer:
    """Text similarity as the channel `content` counts it: to the user's last items, the three nearest."""
    recent = content.fit(known.history, known.vectors, recall.content_history).recent
    cosines = known.vectors.matrix @ known.vectors.matrix[known.cold].T
    return largest(lambda user: recent[user][recent[user] >= 0], cosines)


def learnt(known: Known, numbers: bool = True) -> Night:
    """A night for which `align_embeddings` has run. numbers: whether item ids may say anything."""
    night = copy(known.night)
    alignment = night.settings.alignment.model_copy(update={"item_numbers": numbers})
    night.settings = night.settings.model_copy(update={"alignment": alignment})
    run_job(align_embeddings.JOB, night)
    return night


def aligned(known: Known, night: Night, synthetic: pa.Table | None = None) -> ColdStart:
    """The channel `cold_start`, of what a night learnt, and of synthetic interactions where there are any."""
    if synthetic is None:
        synthetic = TABLES["synthetic_interactions"].schema.empty_table()
    imagined = als.imagined_events(known.history, synthetic, night.settings.recall.synthetic_weight)
    return cold_start.fit(known.history, known.vectors, cold_tables(night), imagined)


def parts(known: Known, channel: ColdStart) -> dict[str, Scorer]:
    """The channel, and each of its two parts alone."""
    mixture = channel.mixture
    towers, likeness = replace(mixture, near=0.0), replace(mixture, far=0.0)
    alone = {"towers": towers, "likeness": likeness, "alignment": mixture}
    return {name: _scorer(known, replace(channel, mixture=only)) for name, only in alone.items()}


def same_signs(known: Known, channel: ColdStart) -> Scorer:
    """Top-3 by the plain mean of the cosines of every sign that the channel reads: nothing is learnt."""
    everything = np.arange(len(known.history.item_ids), dtype=np.int32)
    cosines = [channel.words.cosines(name, everything, known.cold) for name in item_words.NAMES]
    return largest(all_of(known), np.mean(cosines, axis=0))


def _scorer(known: Known, channel: ColdStart) -> Scorer:
    return lambda users: channel.scores(users, known.cold).astype(np.float64)


def judged(known: Known, synthetic: pa.Table, recall: Recall) -> Scorer:
    """ALS that has learnt from synthetic interactions; -inf for an item that it knows nothing of."""
    fitted = als.fit(known.history, synthetic, recall)
    factors, unknown = fitted.item_factors[known.cold], ~fitted.known_items[known.cold]

    def score(users: Codes) -> Scores:
        scores = np.asarray(fitted.user_factors[users] @ factors.T, dtype=np.float64)
        scores[:, unknown] = -np.inf
        return scores

    return score


def fused(scorers: Sequence[Scorer]) -> Scorer:
    """The sum over parts of 60 / (60 + rank); a part says nothing of items to which it gives -inf."""

    def score(users: Codes) -> Scores:
        return np.sum([_shares(scorer(users)) for scorer in scorers], axis=0)

    return score


def _shares(scores: Scores) -> Scores:
    scores = np.round(scores, 6)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, scores.shape[1] + 1)[None, :], axis=1)
    return np.where(np.isneginf(scores), 0.0, FUSION / (FUSION + ranks))
