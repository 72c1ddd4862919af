"""The verdict on a group of features, out of its comparisons: keep, drop or unsure, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.recommender.ablation import Comparison


class Verdict(NamedTuple):
    """keep, drop or unsure, and the reason in a sentence."""

    verdict: str
    reason: str


def verdict(found: Sequence[Comparison], worthwhile: float) -> Verdict:
    """What to do with a group.

    keep     it helps with confidence, and more than its placebo: over all items, or over cold ones without
             harm to all
    drop     it harms with confidence, or TF-IDF in its place is better with confidence, or it is certain to
             be worth less than `worthwhile` NDCG@10
    unsure   anything else
    """
    by = {(c.variant, c.compared_to, c.slice): c for c in found}
    alone = by.get(("group", "without", "all"))
    if alone is None:
        return Verdict("unsure", "nothing was taken that it could be measured on")
    cold, cheap = by.get(("group", "without", "cold")), by.get(("group", "control", "all"))
    lift = f"{_interval(alone)} NDCG@10 over {alone.users:,} users"
    if alone.lift.high < 0:
        return Verdict("drop", f"it harms: {lift}")
    if cheap is not None and cheap.lift.high < 0:
        return Verdict("drop", f"TF-IDF of the same texts does better, for no tokens ({_interval(cheap)})")
    if alone.lift.low > 0:
        return _beyond_placebo(by.get(("group", "placebo", "all")), f"it helps: {lift}")
    if cold is not None and cold.lift.low > 0:
        said = f"it helps cold items ({_interval(cold)}), all items {lift}"
        return _beyond_placebo(by.get(("group", "placebo", "cold")), said)
    if alone.lift.low == alone.lift.high == 0:
        return Verdict("drop", f"it buys nothing: no list of {alone.users:,} users is better or worse for it")
    if alone.lift.high < worthwhile:
        return Verdict("drop", f"it buys nothing: {lift}, less than {worthwhile:g} for certain")
    return Verdict("unsure", f"the interval is too wide to tell: {lift}")


def _beyond_placebo(compared: Comparison | None, said: str) -> Verdict:
    if compared is None or compared.lift.low <= 0:
        return Verdict("unsure", f"{said}, but hardly more than its placebo")
    return Verdict("keep", said)


def _interval(comparison: Comparison) -> str:
    lift = comparison.lift
    return f"{lift.mean:+.4f} ({lift.low:+.4f} to {lift.high:+.4f})"
