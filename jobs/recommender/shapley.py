"""What each feature adds to the score of a row: exact SHAP values of LightGBM's trees, many rows at a time.

The values are those of Booster.predict(pred_contrib=True), path-dependent TreeSHAP (Lundberg and others,
2018), which walks every path for every row. Here a row is the set of splits at which it goes left: rows of a
block that agree about a tree are worked out once, and of a leaf only counts which features' conditions a row
meets, so that a table of all such patterns answers for it.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobs.recommender.threads import cores

if TYPE_CHECKING:
    from lightgbm import Booster

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Rows worked on at once: enough that many agree, few enough for two such blocks a processor.
_ROWS = 10_240
# LightGBM takes smaller numbers for zero.
_ZERO = 1e-35


@dataclass(frozen=True)
class Split:
    """A node: rows with values[feature] <= threshold go left."""

    feature: int
    threshold: float
    default_left: bool
    missing: str

    def left(self, values: Numbers) -> Flags:
        """Which rows go left, by LightGBM's rules for what is missing."""
        column = values[:, self.feature]
        absent = np.isnan(column)
        if self.missing == "NaN":
            return np.where(absent, self.default_left, column <= self.threshold)
        column = np.where(absent, 0.0, column)
        below = column <= self.threshold
        if self.missing == "Zero":
            return np.where(np.abs(column) <= _ZERO, self.default_left, below)
        return below


@dataclass(frozen=True)
class Leaf:
    """A leaf: what it adds, by which of its features' conditions a row meets.

    conditions: for each feature on the path its place among the tree's features, and the (split, goes left)
    that it has to do there. table: shape (conditions, 2 ** conditions).
    """

    conditions: list[tuple[int, list[tuple[int, bool]]]]
    table: Numbers

    def add(self, lefts: NDArray[np.bool_], to: Numbers) -> None:
        """lefts: shape (splits, patterns). to: shape (features of the tree, patterns)."""
        pattern = np.zeros(lefts.shape[1], dtype=np.int64)
        for bit, (_, steps) in enumerate(self.conditions):
            met = np.logical_and.reduce([lefts[split] == goes for split, goes in steps])
            pattern |= met.astype(np.int64) << bit
        for bit, (place, _) in enumerate(self.conditions):
            to[place] += self.table[bit][pattern]


class Tree:
    """One tree of a model, from LightGBM's own description of it."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.splits: list[Split] = []
        self.leaves: list[Leaf] = []
        self.features: list[int] = []
        root = described["tree_structure"]
        if described["num_cat"]:
            raise ValueError("a tree with categorical splits; the ranker trains none")
        self._walk(root, [])

    def _walk(self, node: Mapping[str, Any], path: list[tuple[int, bool, float]]) -> None:
        """path: (split, goes left, share of the node's rows that do) of each node above."""
        if "split_index" not in node:
            if path:
                self.leaves.append(self._leaf(float(node["leaf_value"]), path))
            return
        place = len(self.splits)
        split = Split(
            node["split_feature"], node["threshold"], bool(node["default_left"]), node["missing_type"]
        )
        self.splits.append(split)
        if split.feature not in self.features:
            self.features.append(split.feature)
        for side, goes in (("left_child", True), ("right_child", False)):
            child = node[side]
            share = child.get("internal_count", child.get("leaf_count")) / node["internal_count"]
            self._walk(child, [*path, (place, goes, share)])

    def _leaf(self, value: float, path: list[tuple[int, bool, float]]) -> Leaf:
        steps: dict[int, list[tuple[int, bool]]] = {}
        shares: dict[int, float] = {}
        for place, goes, share in path:
            feature = self.features.index(self.splits[place].feature)
            steps.setdefault(feature, []).append((place, goes))
            shares[feature] = shares.get(feature, 1.0) * share
        return Leaf(list(steps.items()), value * _table(np.array(list(shares.values()))))

    def add(self, values: Numbers, to: Numbers) -> None:
        """Add what the tree's features contribute to each row; to: shape (features of the model, rows)."""
        if not self.splits:
            return
        lefts = np.stack([split.left(values) for split in self.splits])
        first, which = _distinct(lefts)
        found = np.zeros((len(self.features), len(first)))
        for leaf in self.leaves:
            leaf.add(lefts[:, first], found)
        for feature, added in zip(self.features, found, strict=True):
            to[feature] += added[which]


def _distinct(lefts: Flags) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first of the columns that are alike, and for each column which of these it is like."""
    packed = np.packbits(lefts, axis=0)
    words = np.zeros((-(-len(packed) // 8) * 8, packed.shape[1]), dtype=np.uint8)
    words[: len(packed)] = packed
    keys = np.ascontiguousarray(words.T).view(np.uint64)
    if keys.shape[1] == 1:
        _, first, which = np.unique(keys[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, which.ravel()


def _table(shares: Numbers) -> Numbers:
    """Shapley values of a leaf of value 1 for every set of conditions that a row meets: shape (n, 2 ** n).

    shares: of the training rows that meet each condition, which stand for a feature that is not known.
    """
    count = len(shares)
    met = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    table = np.empty((count, 2**count))
    for one in range(count):
        # Coefficient s: over all sets of s other features that are known, what is left of the leaf's value.
        known = np.zeros((2**count, count))
        known[:, 0] = 1.0
        for other in range(count):
            if other != one:
                more = np.zeros_like(known)
                more[:, 1:] = known[:, :-1] * met[:, other, None]
                known = known * shares[other] + more
        weights = [factorial(s) * factorial(count - s - 1) / factorial(count) for s in range(count)]
        table[one] = (known @ np.array(weights)) * (met[:, one] - shares[one])
    return table


class Shapley:
    """The SHAP values of a booster's rows."""

    def __init__(self, booster: "Booster") -> None:
        described = booster.dump_model()
        self._features = len(described["feature_names"])
        self._trees = [Tree(tree) for tree in described["tree_info"]]

    def values(self, rows: Numbers) -> Numbers:
        """What each feature adds: shape (rows, features), for rows of that shape, NaN for null."""
        blocks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        with ThreadPoolExecutor(cores()) as pool:
            found = list(pool.map(self._block, blocks))
        return np.concatenate(found) if found else np.zeros((0, self._features))

    def _block(self, rows: Numbers) -> Numbers:
        columns = np.asfortranarray(rows)
        found = np.zeros((self._features, len(rows)))
        for tree in self._trees:
            tree.add(columns, found)
        return found.T
