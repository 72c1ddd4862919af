"""Reading a preference out of two answers: a model leans to what stands first, so it is asked both ways."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Where a probability is 0 or 1 to the last bit its log-odds would be infinite.
EDGE = 1e-6


@dataclass(frozen=True)
class Pair:
    """Probability of the answer "first" with a item standing first, and with it standing second."""

    first_when_first: float
    first_when_second: float


@dataclass(frozen=True)
class Preference:
    """What both orders together say.

    margin: mean log-odds of the item over both orders, in which any lean to what stands first cancels out.
    probability: that the item is taken, mean over both orders after the night's lean to what stands first was
    taken out. position_bias: in [-1, 1], how much the raw answers lean to what stands first. agree: whether
    both orders prefer the same item.
    """

    margin: float
    probability: float
    position_bias: float
    agree: bool


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), finite everywhere."""
    p = min(max(probability, EDGE), 1 - EDGE)
    return math.log(p / (1 - p))


def lean(pairs: Sequence[Pair]) -> float:
    """The mean log-odds of the answer "first" over all questions: 0 for a model that reads, not counts."""
    odds = [log_odds(p) for pair in pairs for p in (pair.first_when_first, pair.first_when_second)]
    return sum(odds) / len(odds) if odds else 0.0


def read_preferences(pairs: Sequence[Pair]) -> list[Preference]:
    """The preferences of one night, corrected by the lean of that night."""
    shift = lean(pairs)
    return [_read(pair, shift) for pair in pairs]


def _read(pair: Pair, shift: float) -> Preference:
    odds = log_odds(pair.first_when_first), log_odds(pair.first_when_second)
    first, second = sigmoid(odds[0] - shift), 1 - sigmoid(odds[1] - shift)
    return Preference(
        margin=(odds[0] - odds[1]) / 2,
        probability=(first + second) / 2,
        position_bias=pair.first_when_first + pair.first_when_second - 1,
        agree=(first > 0.5) == (second > 0.5) and first != 0.5 and second != 0.5,
    )


def sigmoid(odds: float) -> float:
    """1 / (1 + exp(-odds)), whatever the odds."""
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else 1 - 1 / (1 + math.exp(odds))
