"""Reading a choice among several lettered options: a model leans to places, so each choice is asked twice.

The second time every option stands half the list further on. How much the model leans to each place is
measured over all that was asked, and taken out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import exp, log

# A probability of 0 would be a logarithm without end.
EDGE = 1e-6
# Sums of one come out as a little more or less.
_DIGITS = 9
# By number of options: the mean log-probability of each place, less the mean over places.
Lean = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Shown:
    """Options in the order they were shown in, and the probability of each one's letter."""

    options: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Reading:
    """The option both orders together prefer.

    probability: of the option, mean over both orders once the lean is out. agree: whether each order by
    itself prefers it.
    """

    option: str
    probability: float
    agree: bool


def two_orders(options: Sequence[str], about: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """An order that has nothing to do with the options' worth, and the same with the second half first.

    about: what the question is about, so that an option stands elsewhere in another question.
    """
    first = sorted(
        options, key=lambda option: sha256(f"{about}\0{option}".encode("utf-8", "replace")).digest()
    )
    half = (len(first) + 1) // 2
    return tuple(first), tuple(first[half:] + first[:half])


def lean(asked: Iterable[Shown]) -> dict[int, list[float]]:
    """How much the answers lean to each place, by number of options; all 0 for a model that reads."""
    rows: dict[int, list[list[float]]] = {}
    for shown in asked:
        rows.setdefault(len(shown.options), []).append([_log(p) for p in shown.probabilities])
    means = {
        n: [sum(column) / len(column) for column in zip(*found, strict=True)] for n, found in rows.items()
    }
    return {n: [value - sum(places) / n for value in places] for n, places in means.items()}


def read(straight: Shown, turned: Shown, leaning: Lean) -> Reading:
    """What both orders of one question say; the first in the alphabet where options are equally probable."""
    first, second = _without(straight, leaning), _without(turned, leaning)
    best = _best({option: first[option] + second[option] for option in first})
    return Reading(
        option=best,
        probability=round((first[best] + second[best]) / 2, _DIGITS),
        agree=_best(first) == best == _best(second),
    )


def _without(shown: Shown, leaning: Lean) -> dict[str, float]:
    """The options' probabilities with the lean to their places taken out."""
    places = leaning.get(len(shown.options)) or [0.0] * len(shown.options)
    weights = [exp(_log(p) - place) for p, place in zip(shown.probabilities, places, strict=True)]
    return {option: weight / sum(weights) for option, weight in zip(shown.options, weights, strict=True)}


def _best(probabilities: Mapping[str, float]) -> str:
    return min(probabilities, key=lambda option: (-round(probabilities[option], _DIGITS), option))


def _log(probability: float) -> float:
    return log(max(probability, EDGE))
