"""What a group of features is worth: rankers with it, without it, with a placebo and with a cheap control.

All rankers learn from the older label windows for as many rounds, and are compared over the newest:

    group     every feature, against all but the group's
    placebo   the group's rows shuffled across entities: it must buy nothing, whatever its columns look like
    control   TF-IDF of the source's own texts in the group's place (for groups made from texts)

The group "synthetic" has no columns: with it a ranker learns from synthetic interactions as well, and its
placebo is a coin's answers to the same questions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.contract import GROUPS
from feature_store.sections import Ranker
from jobs.recommender import control, metrics, ranker
from jobs.recommender.groups import FEATURES, GROUP_OF
from jobs.recommender.metrics import Interval
from jobs.recommender.queries import Mask, Queries, matrix, ndcg_at_k
from jobs.recommender.slices import tail
from jobs.recommender.synthetic_pairs import Imagined

# Groups that are made from texts, so that TF-IDF could do their work.
FROM_TEXT = ("item_text", "user_text", "embeddings")

Values = dict[str, NDArray[np.float64]]


class Comparison(NamedTuple):
    """NDCG@10 of a variant and of what it is compared to, over the same users; slice: relevant items."""

    variant: str
    compared_to: str
    slice: str
    value: float
    other: float
    lift: Interval
    users: int


@dataclass(frozen=True)
class Variant:
    """The columns a ranker may look at, the rows it finds them in, and which of the rows are in its lists.

    imagined: synthetic interactions it learns from as well.
    """

    features: tuple[str, ...]
    rows: Queries
    shown: Mask
    imagined: Imagined | None = None


def enough(found: Queries, settings: Ranker) -> str:
    """Why nothing can be measured, empty if it can."""
    windows = len(found.distinct_windows)
    if windows < 2:
        return f"there are {windows} label windows and a measurement needs 2"
    for name, part in (("older windows", ~found.newest), ("newest window", found.newest)):
        lists = len(found.where(part).instructive().sizes)
        if lists < settings.min_groups:
            return f"the {name} have {lists} lists that can teach and a ranker needs {settings.min_groups}"
    return ""


def measure(
    found: Queries, settings: Ranker, done: Callable[[], None], imagined: Imagined | None = None
) -> Iterator[tuple[str, list[Comparison]]]:
    """Each group that varies in these rows, with its comparisons; `found` has the control's columns.

    imagined: the synthetic interactions that were known when the newest window's lists were.
    """
    learnt = found.where(~found.newest)
    rounds = ranker.best_rounds(learnt.instructive(), FEATURES, settings)
    slices = _slices(found.where(found.newest))

    def judge(variant: Variant) -> Values:
        values = _judge(variant, settings, rounds, slices)
        done()
        return values

    whole = Variant(FEATURES, found, ranker.proposed(found.rows, FEATURES))
    everything = judge(whole)
    for group in varying(found):
        rest = tuple(name for name in FEATURES if GROUP_OF[name] != group)
        # Without the group nobody proposes what only its channels do, and neither placebo nor control can.
        shown = ranker.proposed(found.rows, rest)
        without = judge(Variant(rest, found, shown))
        placebo = judge(Variant(FEATURES, shuffled(found, group, settings.seed), shown))
        found_out = [*_compare("group", everything, "without", without)]
        found_out += _compare("placebo", placebo, "without", without)
        found_out += _compare("group", everything, "placebo", placebo)
        if group in FROM_TEXT:
            cheap = judge(Variant((*rest, *control.COLUMNS), found, shown))
            found_out += _compare("control", cheap, "without", without)
            found_out += _compare("group", everything, "control", cheap)
        yield group, found_out
    if imagined:
        told = judge(replace(whole, imagined=imagined))
        placebo = judge(replace(whole, imagined=imagined.dealt(settings.seed)))
        found_out = [*_compare("group", told, "without", everything)]
        found_out += _compare("placebo", placebo, "without", everything)
        found_out += _compare("group", told, "placebo", placebo)
        yield "synthetic", found_out


def fits(found: Queries, imagined: Imagined | None = None) -> int:
    """How many rankers `measure` trains."""
    return (3 if imagined else 1) + sum(3 if group in FROM_TEXT else 2 for group in varying(found))


def varying(found: Queries) -> list[str]:
    """Groups with a column that is not the same in every row."""
    return [group for group in GROUPS if any(_varies(found.rows[name]) for name in columns_of(group))]


def columns_of(group: str) -> tuple[str, ...]:
    """The features of one group."""
    return tuple(name for name in FEATURES if GROUP_OF[name] == group)


def _varies(column: pa.ChunkedArray) -> bool:
    return len(column.unique()) > 1


def shuffled(found: Queries, group: str, seed: int) -> Queries:
    """The queries with the group's columns of each window dealt out anew among its rows, row by row."""
    generator = np.random.default_rng(seed)
    window = np.repeat(found.windows, found.sizes)
    order = np.arange(len(window))
    for one in found.distinct_windows:
        places = np.flatnonzero(window == one)
        order[places] = generator.permutation(places)
    rows = found.rows
    for name in columns_of(group):
        dealt = rows[name].take(pa.array(order))
        rows = rows.set_column(rows.column_names.index(name), name, dealt)
    return found.with_rows(rows)


def _judge(variant: Variant, settings: Ranker, rounds: int, slices: dict[str, Mask | None]) -> Values:
    rows, new = variant.rows, np.repeat(variant.rows.newest, variant.rows.sizes)
    learnt = rows.only(variant.shown & ~new)
    fitted = ranker.fit(learnt, variant.features, settings, rounds, variant.imagined)
    newest = rows.where(rows.newest)
    scores = np.where(variant.shown[new], ranker.Scorer.of(fitted).score(newest.rows), -np.inf)
    return {name: ndcg_at_k(newest, scores, counted=counted) for name, counted in slices.items()}


def _slices(newest: Queries) -> dict[str, Mask | None]:
    """Rows whose labels count: all, cold items, items of the tail of the window's lists."""
    cold, events = matrix(newest.rows, ("item_cold", "item_events_count_lifetime")).T
    _, first, item = np.unique(newest.rows["item_id"].to_numpy(), return_index=True, return_inverse=True)
    counts = np.nan_to_num(events[first]).astype(np.int64)
    return {"all": None, "cold": cold == 1, "tail": tail(counts)[item]}


def _compare(variant: str, values: Values, compared_to: str, others: Values) -> Iterator[Comparison]:
    for name in values:
        value, other = values[name], others[name]
        some = ~np.isnan(value)
        if some.any():
            means = float(value[some].mean()), float(other[some].mean())
            lift = metrics.paired_bootstrap(value[some], other[some])
            yield Comparison(variant, compared_to, name, *means, lift, int(some.sum()))
