"""What the trials of `nightmill bench cold-start` add up to: means over seeds, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.benchmarks.cold_start_references import REFERENCES, K
from infra.benchmarks.measures import Row
from jobs.recommender.metrics import Interval, PerUser

UNIT = f"Recall@{K}"
OURS = "alignment"  # the arm that the product ranks with
WITHOUT_NUMBERS = "alignment_without_numbers"
ALONE = ("filter", "towers", "likeness")  # parts, each by itself
RESAMPLES = 1000


@dataclass(frozen=True)
class Result:
    """A trial, judged.

    recalls: Recall@K of each user by each arm. asked: which of these users a judge could be asked about.
    requests, tokens: of the judge. kept: preferences that it gave.
    """

    recalls: Mapping[str, PerUser]
    asked: NDArray[np.bool_]
    requests: int
    kept: int
    tokens: int

    def of(self, arm: str, unasked: bool = False) -> PerUser:
        """The recalls of an arm; those of users nobody was asked about where `unasked`."""
        return self.recalls[arm][~self.asked] if unasked else self.recalls[arm]


def clustered(differences: Sequence[PerUser], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean over trials of the mean over users, with its percentile interval.

    Trials are drawn with replacement, and in each drawn trial its users: one value a user and trial, of ours
    minus theirs. A trial without users is left out. Source: Davison and Hinkley, 1997, section 3.8.
    """
    differences = [values for values in differences if len(values)]
    if not differences:
        return Interval(np.nan, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(differences), (resamples, len(differences)))
    means = np.empty(drawn.shape)
    for place, values in enumerate(differences):
        for row, column in zip(*np.nonzero(drawn == place), strict=True):
            means[row, column] = values[generator.integers(0, len(values), len(values))].mean()
    low, high = np.quantile(means.mean(axis=1), [0.025, 0.975])
    return Interval(float(np.mean([values.mean() for values in differences])), float(low), float(high))


def rows(name: str, results: Sequence[Result], held: int, judge: str) -> list[Row]:
    """The rows of a set. held: how many items were held out in each trial."""
    best = max(REFERENCES, key=lambda arm: (_mean(results, arm), arm))
    users = float(np.mean([len(result.asked) for result in results]))
    return [
        _row(f"cold_recall20_vs_best_reference/{name}", results, OURS, best, said=best),
        *(_row(f"cold_recall20_vs_{arm}/{name}", results, OURS, arm) for arm in REFERENCES),
        _row(f"cold_recall20_without_numbers/{name}", results, WITHOUT_NUMBERS, best, said=best),
        *_parts(name, results, judge),
        Row(f"users_judged/{name}", users, None, "users a trial"),
        Row(f"items_held_out/{name}", held, None, "items a trial"),
        Row(f"trials/{name}", len(results), None, "seeds"),
    ]


def _parts(name: str, results: Sequence[Result], judge: str) -> list[Row]:
    """Each part beside what it is without."""
    found = [
        _row(f"cold_recall20_vs_same_signs/{name}", results, OURS, "same_signs"),
        *(Row(f"cold_recall20_{arm}/{name}", _mean(results, arm), None, UNIT) for arm in ALONE),
        _row(f"cold_recall20_alignment/{name}", results, "alignment", "filter"),
    ]
    if judge == "none":
        return found
    who = f"judge: {judge}, users who were not asked"
    found += [
        Row(f"cold_recall20_judgement_alone/{name}", _mean(results, "judgement_alone", True), None, UNIT),
        _row(f"cold_recall20_judgement/{name}", results, "judgement", "filter", who, unasked=True),
        _row(f"cold_recall20_all/{name}", results, "all", "alignment", who, unasked=True),
    ]
    tokens = float(np.mean([result.tokens for result in results]))
    gain = _mean(results, "all", True) - _mean(results, "alignment", True)
    return [
        *found,
        Row(f"judge_requests/{name}", float(np.mean([r.requests for r in results])), None, "requests"),
        Row(f"judge_preferences/{name}", float(np.mean([r.kept for r in results])), None, "rows"),
        Row(f"judge_tokens/{name}", tokens, None, "tokens"),
        Row(f"gain_per_million_tokens/{name}", gain / tokens * 1e6 if tokens else 0.0, None, UNIT),
    ]


def _row(
    measure: str, results: Sequence[Result], arm: str, other: str, said: str = "", unasked: bool = False
) -> Row:
    pairs = [(result.of(arm, unasked), result.of(other, unasked)) for result in results]
    difference = clustered([ours - theirs for ours, theirs in pairs])
    ours, theirs = (_mean(results, which, unasked) for which in (arm, other))
    unit = f"{UNIT}{said and f' ({said})'}"
    return Row(measure, ours, theirs, unit, difference.low, difference.high)


def _mean(results: Sequence[Result], arm: str, unasked: bool = False) -> float:
    values = [result.of(arm, unasked) for result in results]
    return float(np.mean([one.mean() for one in values if len(one)] or [np.nan]))
