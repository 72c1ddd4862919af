"""The steps of nights: what each took and cost, and the table a night ends with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from feature_store.partitions import Partition, Store
from feature_store.tables import TABLES
from jobs.report.units import number

STEP_HEADINGS = (
    "ds",
    "step",
    "seconds",
    "rows",
    "requests",
    "asked",
    "reused",
    "read",
    "from cache",
    "written",
    "refused",
)


@dataclass(frozen=True)
class StepRow:
    """One step of one night, as its manifest tells it.

    ran: False when the step found its result published and did nothing; its costs are then zero.
    requests: questions the step had; asked: those a model answered; cached: those answered before.
    prompt_tokens, cached_tokens (served from the prefix cache), output_tokens: of the asked ones.
    """

    job: str
    ds: date
    ran: bool
    seconds: float
    rows: int
    requests: int = 0
    asked: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    quarantined: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.output_tokens


def steps(store: Store, dates: Iterable[date], since: datetime | None = None) -> list[StepRow]:
    """The steps published for each date, in the order they run.

    With `since` (aware), a step whose published run is older counts as having done nothing.
    """
    outputs: dict[str, list[str]] = {}
    for table in TABLES.values():
        outputs.setdefault(table.job, []).append(table.name)
    found = []
    for ds in sorted(set(dates)):
        for job, tables in outputs.items():
            published = [p for p in (store.published(table, ds) for table in tables) if p is not None]
            if published:
                found.append(_step(job, ds, published, since))
    return found


def _step(job: str, ds: date, published: list[Partition], since: datetime | None) -> StepRow:
    # Every output of a run carries the run's own accounts; an event table's day may be from an older run.
    newest = max(published, key=lambda p: p.finished_at)
    manifest = newest.manifest
    rows = sum(p.manifest["rows"]["written"] for p in published)
    refused = sum(manifest["rows"]["quarantined"].values())
    if since is not None and newest.finished_at < since:
        return StepRow(job, ds, False, 0.0, rows, quarantined=refused)
    counts = manifest["counts"]
    # Wall time: the gate's share is not in the manifest's own seconds.
    took = newest.finished_at - datetime.fromisoformat(manifest["started_at"])
    return StepRow(
        job,
        ds,
        True,
        took.total_seconds(),
        rows,
        **{name: int(counts.get(name, 0)) for name in COUNTERS},
        quarantined=refused,
    )


COUNTERS = ("requests", "asked", "cached", "prompt_tokens", "cached_tokens", "output_tokens")


def render_steps(rows: Sequence[StepRow]) -> str:
    """The table a night ends with, totals last; tokens are `read` (prompt), `from cache` and `written`."""
    cells = [
        (
            row.ds.isoformat(),
            row.job,
            f"{row.seconds:.1f}" if row.ran else "nothing to do",
            number(row.rows),
            *(number(value) for value in _amounts(row)),
        )
        for row in rows
    ]
    totals = [sum(amounts) for amounts in zip(*(_amounts(row) for row in rows), strict=True)] or [0] * 7
    total = ("", "all", f"{sum(row.seconds for row in rows):.1f}", "", *(number(value) for value in totals))
    return aligned(STEP_HEADINGS, [*cells, total], left=2)


def _amounts(row: StepRow) -> tuple[int, ...]:
    return (*(getattr(row, name) for name in COUNTERS), row.quarantined)


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Columns padded to their widest cell, the first `left` of them flush left."""
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings))]
    lines = []
    for row in (headings, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
