"""How far a mean over users can be trusted: what resampling the users makes of it."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

PerUser = NDArray[np.float64]
K = TypeVar("K", bound=Hashable)

# Random draws held in memory at once while resampling.
_DRAWS = 4_000_000


class Interval(NamedTuple):
    """A mean over users with the interval that resampling users gives it."""

    mean: float
    low: float
    high: float


NOTHING = Interval(np.nan, np.nan, np.nan)


class Bootstrap(Generic[K]):
    """Means of many measures, and of their differences, over the same resamples of the users.

    Users come block by block, so that memory is bounded however many there are. In each resample a user
    counts Poisson(1) times, which for more than a few users is what drawing them with replacement does. How
    users are cut into blocks changes nothing. Source: Chamandy et al., 2012.
    """

    def __init__(self, keys: Sequence[K], seed: int = 0, resamples: int = 1000) -> None:
        self._at = {key: place for place, key in enumerate(keys)}
        self._generator = np.random.default_rng(seed)
        # The first row is the sample itself, the others its resamples.
        self._gained = np.zeros((resamples + 1, len(keys)))
        self._counted = np.zeros_like(self._gained)
        self._users = np.zeros(len(keys), dtype=np.int64)

    def add(self, values: Mapping[K, PerUser], counts: Mapping[K, PerUser] | None = None) -> None:
        """Measures of one block of users, one value a user; NaN where a user has none.

        counts: for a measure that is a share of something a user can have many of, how many; the mean is then
        that of sum(values) / sum(counts). All measures must be of the same users in the same order.
        """
        gained = np.column_stack([values[key] for key in self._at]).astype(float)
        known = ~np.isnan(gained)
        counted = known.astype(float)
        for key, amounts in (counts or {}).items():
            counted[:, self._at[key]] *= amounts
        gained[~known] = 0
        self._users += known.sum(axis=0)
        step = max(1, _DRAWS // len(self._gained))
        for start in range(0, len(gained), step):
            part = slice(start, min(start + step, len(gained)))
            self._add(gained[part], counted[part])

    def _add(self, gained: NDArray[np.float64], counted: NDArray[np.float64]) -> None:
        times = np.ones((len(gained), len(self._gained)))
        times[:, 1:] = self._generator.poisson(1.0, (len(gained), len(self._gained) - 1))
        self._gained += times.T @ gained
        self._counted += times.T @ counted

    def mean(self, key: K, level: float = 0.95) -> Interval:
        """The mean of a measure; all three are NaN where no user has a value."""
        return _interval(self._means(key), level)

    def difference(self, key: K, other: K, level: float = 0.95) -> Interval:
        """The mean of one measure minus that of another: a paired difference where the users are the same."""
        return _interval(self._means(key) - self._means(other), level)

    def users(self, key: K) -> int:
        """Users with a value."""
        return int(self._users[self._at[key]])

    def _means(self, key: K) -> PerUser:
        at = self._at[key]
        whole = self._counted[:, at]
        return np.divide(self._gained[:, at], whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _interval(means: PerUser, level: float) -> Interval:
    """Percentile interval; a resample that drew no user with a value says nothing."""
    resampled = means[1:][~np.isnan(means[1:])]
    if np.isnan(means[0]) or not len(resampled):
        return NOTHING
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(means[0]), float(low), float(high))


def bootstrap(values: PerUser, seed: int = 0, resamples: int = 1000, level: float = 0.95) -> Interval:
    """Mean over users with its percentile bootstrap interval; users without a value (NaN) are left out.

    Without users all three are NaN; with one user the interval is that one value. Source: Efron, 1979.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return NOTHING
    generator = np.random.default_rng(seed)
    block = max(1, _DRAWS // len(values))
    means = np.empty(resamples)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        means[start : start + rows] = values[generator.integers(0, len(values), (rows, len(values)))].mean(
            axis=1
        )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    ours: PerUser, theirs: PerUser, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Mean of (ours - theirs) over the same users with its interval; the two differ when it excludes zero."""
    if len(ours) != len(theirs):
        raise ValueError(f"paired values must be of the same users, got {len(ours)} and {len(theirs)}")
    return bootstrap(np.asarray(ours) - np.asarray(theirs), seed, resamples, level)
