"""The answer in words: are the lists better than last week's, and what did the model cost?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from feature_store.contract import GENERATED
from jobs.night_accounts import StepRow
from jobs.report.accounts import Ranker
from jobs.report.evidence import Evaluation, Measure
from jobs.report.units import (
    MINUS,
    counted,
    day,
    interval,
    lift,
    lift_interval,
    metric,
    number,
    percent,
    short,
    span,
)

# Fewer users than this are called a small sample.
FEW_USERS = 200
STAGE_NAMES = {
    "ranker": "Ranker",
    "candidates": "Merged recall",
    "als": "ALS",
    "item_knn": "Item kNN",
    "trending_category": "Trending in category",
    "cold_start": "Cold start",
}
METRIC_NAMES = {"ndcg_at_k": "NDCG", "recall_at_k": "Recall", "hit_rate_at_k": "Hit rate", "mrr_at_k": "MRR"}
Answer = Literal["yes", "no", "unclear", "early"]


@dataclass(frozen=True)
class Verdict:
    """The first screen: an answer, its headline, the sentences below it, and the question it answers."""

    answer: Answer
    headline: str
    sentences: list[str]
    question: str = "Is tonight's better than last week's?"


def stage_name(stage: str) -> str:
    """A stage or channel as the report calls it."""
    return STAGE_NAMES.get(stage, stage.replace("_", " ").capitalize())


def verdict(ds: date, evaluations: Sequence[Evaluation], horizon_days: int) -> Verdict:
    """What the newest evaluation says; `early` where no list is old enough, or nobody came back.

    The lists against those of about a week before; where there are none yet, against the best single channel.
    """
    tonight = [e for e in evaluations if e.ds == ds]
    due = f"Tonight's own lists can be judged from {day(ds + timedelta(days=horizon_days))} on."
    if not tonight:
        return Verdict("early", "Too early to judge.", [_nothing_yet(ds, horizon_days), due])
    evaluation = tonight[-1]
    difference = evaluation.difference
    if difference is None:
        return Verdict("early", "Nobody to judge by.", [_nobody(evaluation), due])
    before = [e for e in evaluations if e.evaluated_ds < evaluation.evaluated_ds]
    sentences = [_comparison(evaluation), _sample(evaluation), due]
    against = evaluation.against_earlier
    if against is None or against.compared_ds is None:
        answer, headline = _answer(difference, "the best single channel")
        nothing = "No lists of a week before can be compared with yet."
        return Verdict(
            answer, headline, [*sentences, nothing], "Are the lists better than a single channel's?"
        )
    answer, headline = _answer(against, _earlier_name(evaluation, against.compared_ds))
    return Verdict(answer, headline, [_against(evaluation, against, before), *sentences])


def _answer(difference: Measure, other: str) -> tuple[Answer, str]:
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "unclear", f"No clear difference to {other}."
    return ("yes", f"Better than {other}.") if difference.low > 0 else ("no", f"Worse than {other}.")


def _earlier_name(evaluation: Evaluation, compared_ds: date) -> str:
    days = (evaluation.evaluated_ds - compared_ds).days
    return "last week's" if abs(days - 7) <= 2 else f"those of {day(compared_ds)}"


def _against(evaluation: Evaluation, against: Measure, before: Sequence[Evaluation]) -> str:
    """The two nights' means, and the lead over the best channel then and now, which is the steadier sign."""
    ours = evaluation.find(evaluation.published, against.metric, against.k)
    assert ours is not None
    assert against.compared_ds is not None
    text = (
        f"NDCG@{against.k} of the newest lists that can be judged ({day(evaluation.evaluated_ds)}) is "
        f"{metric(ours.value)}, of those of {day(against.compared_ds)} {metric(ours.value - against.value)}: "
        f"{metric(against.value, signed=True)}, 95% interval "
        f"{interval(against.low, against.high, signed=True)}. "
        "Other users in another week, so two means and no paired comparison."
    )
    then = next((e.difference for e in before if e.evaluated_ds == against.compared_ds), None)
    now = evaluation.difference
    if then is None or now is None:
        return text
    leads = f"{metric(then.value, signed=True)} then and {metric(now.value, signed=True)} now"
    return f"{text} The lead over the best single channel was {leads}."


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
    if ranker.status not in ("trained", "kept"):
        return f"Tonight's lists are in recall's own order: {ranker.reason.rstrip('.')}."
    share = sum(share for group, share in ranker.group_shares() if group in GENERATED)
    return (
        f"Tonight's lists are ordered by {_origin(ranker)} on {number(ranker.rows)} rows "
        f"({number(ranker.positives)} of them taken) in {number(ranker.groups)} groups. Features that a "
        f"model made carry {percent(share)} of its gain, which shows use and not yet worth."
        f"{_challenge(ranker)}"
    )


def _origin(ranker: Ranker) -> str:
    if ranker.status == "kept" and ranker.trained_ds is not None:
        return f"the ranker of {day(ranker.trained_ds)}, which tonight's did not beat, trained"
    return "a ranker trained"


def _challenge(ranker: Ranker) -> str:
    if ranker.challenger is None:
        return ""
    value, low, high = ranker.challenger
    return f" Tonight's training minus the ranker before: NDCG@10 {lift(value)} ({lift_interval(low, high)})."
