"""The answer in words: are the lists better than the best single channel, and what did the model cost?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from jobs.night_accounts import StepRow
from jobs.report.accounts import Ranker
from jobs.report.evidence import Evaluation
from jobs.report.units import MINUS, counted, day, interval, metric, number, percent, short, span

# Fewer users than this are called a small sample.
FEW_USERS = 200
STAGE_NAMES = {
    "ranker": "Ranker",
    "candidates": "Merged recall",
    "als": "ALS",
    "item_knn": "Item kNN",
    "cold_start": "Cold start",
}
METRIC_NAMES = {"ndcg_at_k": "NDCG", "recall_at_k": "Recall", "hit_rate_at_k": "Hit rate"}
Answer = Literal["yes", "no", "unclear", "early"]


@dataclass(frozen=True)
class Verdict:
    """The first screen: an answer, its headline, and the sentences below it."""

    answer: Answer
    headline: str
    sentences: list[str]


def stage_name(stage: str) -> str:
    """A stage or channel as the report calls it."""
    return STAGE_NAMES.get(stage, stage.replace("_", " ").capitalize())


def verdict(ds: date, evaluations: Sequence[Evaluation], horizon_days: int) -> Verdict:
    """What the newest evaluation says; `early` where no list is old enough, or nobody came back."""
    tonight = [e for e in evaluations if e.ds == ds]
    due = f"Tonight's own lists can be judged from {day(ds + timedelta(days=horizon_days))} on."
    if not tonight:
        return Verdict("early", "Too early to judge.", [_nothing_yet(ds, horizon_days), due])
    evaluation = tonight[-1]
    difference = evaluation.difference
    if difference is None:
        return Verdict("early", "Nobody to judge by.", [_nobody(evaluation), due])
    earlier = [e for e in evaluations if e.evaluated_ds < evaluation.evaluated_ds]
    sentences = [_comparison(evaluation), _sample(evaluation), *_before(evaluation, earlier), due]
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return Verdict("unclear", "No clear difference to the best single channel.", sentences)
    if difference.low > 0:
        return Verdict("yes", "Better than the best single channel.", sentences)
    return Verdict("no", "Worse than the best single channel.", sentences)


def _nothing_yet(ds: date, horizon_days: int) -> str:
    return (
        f"Lists are judged by what happens in the {horizon_days} days after them, and no night that is "
        f"{horizon_days} days older than {day(ds)} has published any."
    )


def _nobody(evaluation: Evaluation) -> str:
    return (
        f"Of the users with a list on {day(evaluation.evaluated_ds)}, none took anything new "
        f"in the {evaluation.horizon_days} days that followed."
    )


def _comparison(evaluation: Evaluation) -> str:
    best, difference = evaluation.best_channel, evaluation.difference
    ours = evaluation.find(evaluation.published, "ndcg_at_k", evaluation.k)
    if best is None or difference is None or ours is None:
        return _nobody(evaluation)
    who = "ranked by the ranker" if evaluation.published == "ranker" else "in recall's own order"
    relative = f" ({difference.value / best.value:+.0%})".replace("-", MINUS) if best.value else ""
    return (
        f"The lists of {day(evaluation.evaluated_ds)}, {who}, reached NDCG@{ours.k} {metric(ours.value)}; "
        f"the best single channel ({stage_name(best.stage)}) {metric(best.value)}. "
        f"Difference {metric(difference.value, signed=True)}{relative}, 95% interval "
        f"{interval(difference.low, difference.high, signed=True)}."
    )


def _sample(evaluation: Evaluation) -> str:
    small = " A small sample: read the interval, not the number." if evaluation.users < FEW_USERS else ""
    return (
        f"Measured over the {number(evaluation.users)} of {counted(evaluation.listed_users, 'user')} with "
        f"a list who took something new in the {evaluation.horizon_days} days that followed.{small}"
    )


def _before(evaluation: Evaluation, earlier: Sequence[Evaluation]) -> list[str]:
    now = evaluation.find(evaluation.published, "ndcg_at_k", evaluation.k)
    if not earlier or now is None:
        return []
    then = earlier[-1].find(earlier[-1].published, "ndcg_at_k", evaluation.k)
    if then is None:
        return []
    return [
        f"The lists of {day(earlier[-1].evaluated_ds)} had {metric(then.value)} "
        f"({interval(then.low, then.high)}, {counted(then.users, 'user')}): other users in another week, "
        "so this is no paired comparison."
    ]


def cost(tonight: Sequence[StepRow]) -> str:
    """What the model did for the night, and how long the night took."""
    requests, asked = sum(s.requests for s in tonight), sum(s.asked for s in tonight)
    took = f"All steps together took {span(sum(s.seconds for s in tonight))}."
    if not requests:
        return f"No step had a question for the model. {took}"
    if not asked:
        return f"The model was not asked: all {number(requests)} answers were known from earlier runs. {took}"
    read, hit = sum(s.prompt_tokens for s in tonight), sum(s.cached_tokens for s in tonight)
    written = sum(s.output_tokens for s in tonight)
    seconds = sum(s.seconds for s in tonight if s.asked)
    return (
        f"The model answered {number(asked)} of {number(requests)} questions, the other "
        f"{percent(1 - asked / requests)} were known. It read {short(read)} tokens "
        f"({percent(hit / read if read else 0.0)} of them from its prefix cache) and wrote {short(written)}, "
        f"in steps that took {span(seconds)}. {took}"
    )


def ranker_words(ranker: Ranker | None) -> str:
    """What orders tonight's lists, and how much of it leans on the model."""
    if ranker is None:
        return "No ranker was published tonight."
    if ranker.status != "trained":
        return f"Tonight's lists are in recall's own order: {ranker.reason.rstrip('.')}."
    share = dict(ranker.group_shares()).get("language model", 0.0)
    return (
        f"Tonight's lists are ordered by a ranker trained on {number(ranker.rows)} rows "
        f"({number(ranker.positives)} of them taken) in {number(ranker.groups)} groups. Features from the "
        f"language model carry {percent(share)} of its gain, which shows use and not yet worth."
    )
