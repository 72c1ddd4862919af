"""How sure an answer has to be before it is published: measured on questions whose answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.llm.calibration import wilson

# One-sided 95%: only being worse than promised does harm.
Z = 1.645
# The surest quarter of the checks, the surest half ... : tried in this order.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Check:
    """An answer to a question whose answer is known; confidence 0: no answer."""

    confidence: float
    right: bool


@dataclass(frozen=True)
class Bar:
    """Answers of at least this confidence: so many of the checks, so many of them right.

    low: lower end (one-sided 95%) of the share that is right.
    """

    confidence: float
    answered: int
    right: int
    low: float


def wilson_low(right: int, asked: int) -> float:
    """Lower end (one-sided 95%) of a share, 0 where nothing was asked."""
    return wilson(right, asked, Z)[0]


def fewest(precision: float) -> int:
    """The fewest checks that can show this precision: as many, all of them right."""
    if precision >= 1:
        raise ValueError("no number of checks shows that every answer is right")
    asked = 1
    while wilson_low(asked, asked) < precision:
        asked += 1
    return asked


def lowest_bar(checks: Sequence[Check], precision: float) -> Bar | None:
    """The lowest confidence from which on answers are right often enough; None where no part of them is.

    The surest checks are tested first, and more of them as long as the lower end stays at `precision`. Where
    the first test that could pass does not, nothing does: so the bar is not the luckiest of many (fixed
    sequence testing: Angelopoulos et al., Learn then test, 2021).
    """
    found = None
    for share in SHARES:
        bar = _bar(checks, share)
        if bar is None or wilson_low(bar.answered, bar.answered) < precision:
            continue
        if bar.low < precision:
            break
        found = bar
    return found


def _bar(checks: Sequence[Check], share: float) -> Bar | None:
    """The surest part of the checks, with those that are as sure as its last; None where it has no answer."""
    ranked = sorted((check.confidence for check in checks), reverse=True)
    at = min(max(round(share * len(ranked)), 1), len(ranked)) - 1 if ranked else -1
    if at < 0 or not (confidence := ranked[at]):
        return None
    taken = [check for check in checks if check.confidence >= confidence]
    right = sum(check.right for check in taken)
    return Bar(confidence, len(taken), right, wilson_low(right, len(taken)))
