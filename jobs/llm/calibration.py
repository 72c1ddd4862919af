"""How far a judge's margins can be trusted, by questions whose answer is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.llm.preference import Preference, sigmoid

# Halvings of the interval the slope is looked for in: more than a double has digits.
_HALVINGS = 200


@dataclass(frozen=True)
class Calibration:
    """What the checks say of the judge.

    checks: known questions that were answered. agreed: those of them with the same answer in both orders.
    right: of these. low, high: 95% interval of right / agreed. slope: log-odds of being right for each unit
    of margin; 0 for a judge that is not better than chance with confidence, whose word then counts nothing.
    """

    checks: int
    agreed: int
    right: int
    low: float
    high: float
    slope: float

    @property
    def accuracy(self) -> float | None:
        """Share of the agreed answers that are right; None without any."""
        return self.right / self.agreed if self.agreed else None

    @property
    def verdict(self) -> str:
        """ "knows something", "knows nothing", or "not checked" where no known question was answered."""
        if not self.checks:
            return "not checked"
        return "knows something" if self.slope > 0 else "knows nothing"

    def confidence(self, margin: float) -> float:
        """2 * P(right) - 1 of an answer with such a margin: in [0, 1], 0 for a coin."""
        return max(0.0, 2 * sigmoid(self.slope * abs(margin)) - 1)


def calibrate(checks: Sequence[Preference]) -> Calibration:
    """Read the judge's answers to known questions, of each of which the item was the right answer.

    Only answers on which both orders agree count, as of the questions that are asked in earnest.
    """
    agreed = [check for check in checks if check.agree]
    right = sum(check.margin > 0 for check in agreed)
    low, high = wilson(right, len(agreed))
    slope = fit_slope([check.margin for check in agreed]) if low > 0.5 else 0.0
    return Calibration(len(checks), len(agreed), right, low, high, slope)


def fit_slope(margins: Sequence[float]) -> float:
    """The slope a >= 0 under which P(right) = 1 / (1 + exp(-a * margin)) fits best.

    margins: positive where the judge was right. There is no intercept, for an answer and its mirror image are
    one. Each target is (n + 1) / (n + 2) rather than 1, so that few checks make nobody sure.
    Source: Platt, 1999.
    """
    target = (len(margins) + 1) / (len(margins) + 2)

    def rising(slope: float) -> bool:
        return sum(margin * (target - sigmoid(slope * margin)) for margin in margins) > 0

    if not rising(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while rising(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) else (low, middle)
    return low


def wilson(right: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a share: (0, 1) of nothing. Source: Wilson, 1927."""
    if not of:
        return 0.0, 1.0
    share, square = right / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)
