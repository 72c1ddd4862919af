"""What the model's features are worth, as `nightmill ablate` found it, in words and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from feature_store.contract import GENERATED, GROUPS
from feature_store.partitions import Store, read
from jobs.report import signed
from jobs.report.charts import Estimate
from jobs.report.units import DASH, MINUS, counted, day, lift, lift_interval, short

GROUP_NAMES = {
    "behaviour": "Behaviour",
    "recall": "Recall's scores",
    "item_text": "Item text",
    "user_text": "User text",
    "embeddings": "Embeddings",
    "synthetic": "Synthetic samples",
}
SLICE_NAMES = {"all": "all items", "cold": "cold items", "tail": "tail items"}


@dataclass(frozen=True)
class Lift:
    """NDCG@10 of a variant minus that of what it is compared to, over one slice of items."""

    variant: str
    compared_to: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    users: int


@dataclass(frozen=True)
class Group:
    """One group of features: its verdict, what it cost, and every comparison."""

    name: str
    verdict: str
    reason: str
    tokens: int
    seconds: float
    cost: float
    lift_per_million_tokens: float | None
    lifts: list[Lift]

    @property
    def label(self) -> str:
        """The group as the report calls it."""
        return GROUP_NAMES.get(self.name, self.name.replace("_", " ").capitalize())

    def find(self, variant: str = "group", compared_to: str = "without", part: str = "all") -> Lift | None:
        """One comparison, None where it was not made."""
        wanted = (variant, compared_to, part)
        made = (one for one in self.lifts if one.value is not None)
        return next((one for one in made if (one.variant, one.compared_to, one.slice) == wanted), None)


@dataclass(frozen=True)
class Worth:
    """Every group as of the newest ablation: ds is the night it was made for, window that of the lists."""

    ds: date
    window: date
    groups: list[Group]

    @property
    def generated(self) -> list[Group]:
        """The groups that cost a model something."""
        return [group for group in self.groups if group.name in GENERATED]

    @property
    def users(self) -> int:
        """Users the lifts over all items are means of."""
        found = (group.find() for group in self.groups)
        return max((one.users for one in found if one), default=0)


@dataclass(frozen=True)
class Price:
    """The second answer of page one; `answer` is a class of the style sheet."""

    answer: str
    headline: str
    sentences: list[str]


def worth(store: Store, ds: date) -> Worth | None:
    """The newest ablation by the night of ds; None where there was none."""
    partitions = [p for p in store.partitions("ablations", ds) if p.files]
    rows = read("ablations", partitions[-1].files).to_pylist() if partitions else []
    if not rows:
        return None
    groups = [_group([row for row in rows if row["feature_group"] == name]) for name in _names(rows)]
    return Worth(partitions[-1].ds, rows[0]["window"], groups)


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    found = {row["feature_group"] for row in rows}
    return [name for name in GROUPS if name in found] + sorted(found.difference(GROUPS))


def _group(rows: Sequence[dict[str, Any]]) -> Group:
    one = rows[0]
    lifts = [
        Lift(
            row["variant"],
            row["compared_to"],
            row["slice"],
            row["lift"],
            row["low"],
            row["high"],
            row["users"],
        )
        for row in rows
    ]
    wanted = ("group", "without", "all")
    main = next((r for r in rows if (r["variant"], r["compared_to"], r["slice"]) == wanted), one)
    name, verdict, reason = (one[column] for column in ("feature_group", "verdict", "reason"))
    spent = one["tokens"], one["seconds"], one["cost"]
    return Group(name, verdict, reason, *spent, main["lift_per_million_tokens"], lifts)


def price(found: Worth | None, ds: date) -> Price:
    """Is the model worth its tokens? "Nothing" is an answer."""
    if found is None:
        return Price(
            "early",
            "Not measured yet.",
            [
                f"No night up to {day(ds)} has said what each group of features is worth. "
                f"nightmill ablate --ds {ds} trains the ranker without each, and with a placebo."
            ],
        )
    groups = found.generated
    kept = [group for group in groups if group.verdict == "keep"]
    unsure = [group for group in groups if group.verdict == "unsure"]
    sentences = [_measured(found), _spent(groups, kept)]
    if kept:
        return Price("yes", f"Worth it: {_listed(kept)}.", sentences)
    if unsure:
        sentences.insert(1, _undecided(unsure))
        return Price("unclear", "Not proven: nothing it makes is clearly worth having.", sentences)
    return Price("no", "Nothing: the lists are no better for what it makes.", sentences)


def _undecided(unsure: Sequence[Group]) -> str:
    close, missing = [g for g in unsure if g.find()], [g for g in unsure if not g.find()]
    parts = [f"Too close to call: {_listed(close)}."] if close else []
    parts += [f"Nothing to measure: {_listed(missing)}."] if missing else []
    return " ".join(parts)


def _listed(groups: Sequence[Group]) -> str:
    return ", ".join(group.label.lower() for group in groups)


def _measured(found: Worth) -> str:
    if not found.users:
        return f"As of {day(found.ds)}: {found.groups[0].reason.rstrip('.')}."
    return (
        f"Rankers with and without each group, trained for {day(found.ds)} and compared over "
        f"{counted(found.users, 'user')} with lists of {day(found.window)}, from which none has learnt."
    )


def _spent(groups: Sequence[Group], kept: Sequence[Group]) -> str:
    tokens, paid = sum(group.tokens for group in groups), sum(group.tokens for group in kept)
    if not tokens:
        return "No token was spent on any of them."
    return f"{short(tokens)} tokens went into them, {short(paid)} of these into what is kept."


def per_million(group: Group) -> str:
    """Lift per million tokens, a dash where no token was spent or nothing was measured."""
    value = group.lift_per_million_tokens
    return DASH if value is None else f"{value:+.5f}".replace("-", MINUS)


def picture(found: Worth | None) -> Markup | None:
    """Each group's lift beside its placebo's and its control's, on one scale about zero."""
    if found is None:
        return None
    rows = [row for group in found.groups for row in _rows(group)]
    return signed.estimates(rows) if rows else None


def _rows(group: Group) -> list[Estimate]:
    shown = (("group", group.label), ("placebo", "its placebo"), ("control", "TF-IDF in its place"))
    rows = []
    for variant, label in shown:
        one = group.find(variant)
        if one is not None and one.value is not None:
            rows.append(Estimate(label, one.value, one.low, one.high, variant == "group"))
    return rows


def by_slice(group: Group) -> list[tuple[str, str]]:
    """The group's lift over all, cold and tail items with its interval, as text."""
    cells = []
    for part in SLICE_NAMES:
        found = group.find(part=part)
        ends = lift_interval(found.low, found.high) if found else ""
        cells.append((lift(found.value) if found else DASH, ends))
    return cells
