"""What is published, how fresh and how complete it is, what it cost: `nightmill status`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime

from feature_store.freshness import stale
from feature_store.partitions import Partition, Store
from feature_store.sections import Price
from feature_store.tables import TABLES
from jobs.llm.ledger import Entry, Ledger, cost
from jobs.night_accounts import aligned
from jobs.publish import coverage
from jobs.report.accounts import answers
from jobs.report.units import DASH, number, percent, span

TABLE_HEADINGS = ("table", "last ds", "published", "dates", "rows")
MODEL_HEADINGS = (
    "from the model",
    "last ds",
    "coverage",
    "reused",
    "asked",
    "tokens",
    "all tokens",
    "cost",
    "nights",
)
ANSWER_HEADINGS = ("prompt", "model", "answers", "read", "from cache", "written")
BARS = "▁▂▃▄▅▆▇█"
NIGHTS = 14


def render_status(store: Store, price: Price, now: datetime | None = None) -> str:
    """What is published and stale; what the model's tables cover and cost; what was refused; answers stored.

    `nights` draws the tokens of the newest 14 nights, oldest first. now: aware, for the age of partitions.
    """
    now = now or datetime.now(UTC)
    published = {name: store.partitions(name) for name in TABLES}
    entries = Ledger(store.root).entries()
    parts = [aligned(TABLE_HEADINGS, [_table(name, found, now) for name, found in published.items()], left=2)]
    if behind := stale(store):
        parts.append("stale\n" + "\n".join(f"  {table}" for table in behind))
    asking = {name: found for name, found in published.items() if found and _asks(found[-1])}
    if asking:
        headings = (*MODEL_HEADINGS[:-2], f"cost ({price.currency})", MODEL_HEADINGS[-1])
        rows = [_model_table(name, found, entries, price) for name, found in asking.items()]
        parts.append(aligned(headings, rows, left=2))
    refused = {name: reasons for name, found in published.items() if (reasons := _reasons(found))}
    if refused:
        lines = [f"  {name}: {_listed(reasons)}" for name, reasons in refused.items()]
        parts.append("refused rows, all dates\n" + "\n".join(lines))
    if paid := answers(store):
        rows = [(a.prompt, a.model_id, *map(number, astuple(a)[2:])) for a in paid]
        parts.append("answers stored, all runs\n" + aligned(ANSWER_HEADINGS, rows, left=2))
    return "\n\n".join(parts)


def _table(name: str, partitions: Sequence[Partition], now: datetime) -> tuple[str, ...]:
    if not partitions:
        return (name, "-", "never", "0", "-")
    whole = partitions if TABLES[name].kind == "event" else partitions[-1:]
    age = (now - partitions[-1].finished_at).total_seconds()
    return (
        name,
        partitions[-1].ds.isoformat(),
        f"{span(age)} ago",
        number(len(partitions)),
        number(sum(p.manifest["rows"]["written"] for p in whole)),
    )


def _asks(partition: Partition) -> bool:
    return "requests" in partition.manifest["counts"]


def _model_table(
    name: str, partitions: Sequence[Partition], entries: Sequence[Entry], price: Price
) -> tuple[str, ...]:
    newest = partitions[-1]
    mine = [entry for entry in entries if entry.job == TABLES[name].job]
    night = [entry for entry in mine if entry.ds == newest.ds.isoformat()]
    counts = newest.manifest["counts"]
    # The ledger also knows what shards and runs that failed have asked; it began later than the manifests.
    asked = sum(entry.asked for entry in night) or counts["asked"]
    reused = max(0.0, 1 - asked / counts["requests"]) if counts["requests"] else None
    paid = cost(night, price)
    by_night = Counter[str]()
    for entry in mine:
        by_night[entry.ds] += entry.tokens
    nights = [by_night[p.ds.isoformat()] for p in partitions[-NIGHTS:]]
    return (
        name,
        newest.ds.isoformat(),
        percent(coverage(counts)) + (" so far" if newest.manifest.get("incomplete") else ""),
        percent(reused),
        number(asked),
        number(sum(entry.tokens for entry in night)),
        number(by_night.total()),
        DASH if paid is None else f"{paid:,.2f}",
        bars(nights),
    )


def bars(values: Sequence[float]) -> str:
    """Values as a line of bars, the highest for the largest."""
    most = max(values, default=0)
    if not most:
        return BARS[0] * len(values)
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values)


def _reasons(partitions: Sequence[Partition]) -> Counter[str]:
    """Refused rows by reason, where they lie: every output of a job tells of them, one keeps them."""
    reasons = Counter[str]()
    for partition in partitions:
        if partition.quarantine is not None:
            reasons.update(partition.manifest["rows"]["quarantined"])
    return reasons


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
