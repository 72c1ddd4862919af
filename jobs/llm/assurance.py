"""How sure an answer has to be before it is published: measured on questions whose answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.llm.calibration import wilson

# The surest quarter of the answers, the surest half ... : tried in this order.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Check:
    """An answer to a question whose answer is known; confidence 0: no answer."""

    confidence: float
    right: bool


@dataclass(frozen=True)
class Bar:
    """Answers of at least this confidence: so many of the checks, so many of them right.

    low: lower end of the 95% interval of the share that is right.
    """

    confidence: float
    answered: int
    right: int
    low: float


@dataclass(frozen=True)
class Source:
    """Who answers, and what that showed on questions whose answer is known.

    answered, right: so many of them. bar: how sure an answer has to be; None where none is ever sure enough.
    """

    name: str
    answered: int
    right: int
    bar: Bar | None

    @property
    def worth(self) -> tuple[int, int]:
        """How many of the checks it may answer, and how many it has right at all."""
        return (self.bar.answered if self.bar else 0, self.right)


def proven(name: str, checks: Sequence[Check | None], precision: float) -> Source:
    """What a source's answers to the checks show; None: no answer, which is not a right one."""
    given = [check for check in checks if check]
    bar = lowest_bar([check or Check(0.0, False) for check in checks], precision)
    return Source(name, len(given), sum(check.right for check in given), bar)


def wilson_low(right: int, asked: int) -> float:
    """Lower end of the 95% interval of a share, 0 where nothing was asked.

    It is above the truth in one case of 40: of two sources, one is overrated in one case of 20.
    """
    return wilson(right, asked)[0]


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

    The surest answers are tested first, and more of them as long as the lower end stays at `precision`. Where
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
    """The surest part of the answers, with those that are as sure as its last; None without answers."""
    ranked = sorted((check.confidence for check in checks if check.confidence > 0), reverse=True)
    if not ranked:
        return None
    confidence = ranked[max(round(share * len(ranked)), 1) - 1]
    taken = [check for check in checks if check.confidence >= confidence]
    right = sum(check.right for check in taken)
    return Bar(confidence, len(taken), right, wilson_low(right, len(taken)))
