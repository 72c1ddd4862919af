"""The score of LightGBM's trees, many rows at a time; the same to the last bit, in a fraction of the time.

LightGBM walks each tree for each row and waits at each branch for the last one. Here every split is asked of
all rows of a block at once: a row that goes right cannot end in the leaves to the left of the split, and of
what is left the leftmost leaf is where it ends (QuickScorer; Lucchese and others, 2015).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobs.recommender.compiled import compiled
from jobs.recommender.threads import cores

if TYPE_CHECKING:
    from lightgbm import Booster

Numbers = NDArray[np.float64]
# Rows with values[feature] <= threshold go left, where the leaves of the word `left` are.
_SPLIT = np.dtype(
    [("feature", np.int64), ("threshold", np.float64), ("left", np.uint64), ("absent_right", np.bool_)]
)
# Leaves of a tree that fit into a word; as many as the search of the ranker's parameters tries.
LEAVES = 64
# Rows a thread takes at a time.
_ROWS = 8192
# Rows whose words and columns stay in the processor's nearest cache.
_NEAR = 512
_ONE = np.uint64(1)
# No two powers of two leave the same rest: from which bit a word consists of to its place.
_PRIME = np.uint64(67)
_PLACE = np.zeros(67, dtype=np.uint8)
_PLACE[[2**bit % 67 for bit in range(64)]] = range(64)


class Forest:
    """The trees of a booster, where all of them are small enough."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        """described: Booster.dump_model()."""
        self._splits: list[tuple[int, float, int, bool]] = []
        self._leaves: list[float] = []
        starts = [(0, 0)]
        for tree in described["tree_info"]:
            self._walk(tree["tree_structure"], len(self._leaves))
            starts.append((len(self._splits), len(self._leaves)))
        self._trees = np.array(starts), np.array(self._splits, dtype=_SPLIT), np.array(self._leaves)

    def _walk(self, node: Mapping[str, Any], root: int) -> None:
        """Add a node and what is below it, leaves from left to right; the tree's first leaf is `root`."""
        if "split_index" not in node:
            self._leaves.append(float(node["leaf_value"]))
            return
        first = len(self._leaves) - root
        self._walk(node["left_child"], root)
        left = 2 ** (len(self._leaves) - root) - 2**first
        # Where nothing was missing while it learnt, LightGBM takes what is missing for zero.
        absent_right = not node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] < 0
        self._splits.append((node["split_feature"], node["threshold"], left, absent_right))
        self._walk(node["right_child"], root)

    @classmethod
    def of(cls, booster: "Booster") -> "Forest | None":
        """None where a tree has too many leaves, or splits that no ranker of ours has."""
        described = booster.dump_model()
        trees = described["tree_info"]
        small = all(tree["num_leaves"] <= LEAVES and not tree["num_cat"] for tree in trees)
        zeros = any(_takes_zero_for_missing(tree["tree_structure"]) for tree in trees)
        return cls(described) if small and not zeros else None

    def score(self, values: Numbers) -> Numbers:
        """What Booster.predict gives: shape (rows,). values: shape (rows, features), NaN for null."""
        columns, total = np.ascontiguousarray(values.T), np.zeros(len(values))

        def part(start: int) -> None:
            _add_leaves(columns, start, min(start + _ROWS, len(total)), *self._trees, total)

        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(part, range(0, len(total), _ROWS)))
        return total


def _takes_zero_for_missing(node: Mapping[str, Any]) -> bool:
    if "split_index" not in node:
        return False
    below = (node["left_child"], node["right_child"])
    return node["missing_type"] == "Zero" or any(_takes_zero_for_missing(child) for child in below)


@compiled()
def _add_leaves(
    columns: Numbers,
    start: int,
    end: int,
    trees: NDArray[np.int64],
    splits: NDArray[np.void],
    leaves: Numbers,
    total: Numbers,
) -> None:
    """Add to total[start:end] the leaf of each tree; trees: its first split and its first leaf, and the end.

    The two inner loops have no branch, so that the processor does several rows at once.
    """
    lost = np.empty(_NEAR, dtype=np.uint64)
    for first in range(start, end, _NEAR):
        rows = min(_NEAR, end - first)
        for tree in range(len(trees) - 1):
            lost[:] = 0
            for split in splits[trees[tree, 0] : trees[tree + 1, 0]]:
                column = columns[split["feature"]][first : first + rows]
                threshold, bits = split["threshold"], split["left"]
                if split["absent_right"]:
                    for row in range(rows):
                        lost[row] |= np.uint64(0) if column[row] <= threshold else bits
                else:
                    for row in range(rows):
                        lost[row] |= bits if column[row] > threshold else np.uint64(0)
            for row in range(rows):
                lowest = ~lost[row] & (lost[row] + _ONE)
                total[first + row] += leaves[trees[tree, 1] + _PLACE[lowest % _PRIME]]
