"""Gather a night and the nights before it, draw them, and write report.html."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from feature_store.contract import GROUPS
from feature_store.partitions import Store, write_atomically
from feature_store.settings import Settings
from jobs.night_accounts import StepRow, steps
from jobs.report import accounts, charts, drift, quality, units
from jobs.report.categories import categories
from jobs.report.cold_items import cold_items, pictures
from jobs.report.evidence import evaluations
from jobs.report.examples import examples
from jobs.report.judge import judge
from jobs.report.judge import picture as confidences
from jobs.report.quality import NIGHTS, short_day
from jobs.report.verdict import cost, ranker_words, stage_name, verdict
from jobs.report.worth import GROUP_NAMES, SLICE_NAMES, by_slice, per_million, picture, price, worth

FOLDER = Path(__file__).parent
IMPORTANCES = 14
# More steps than this in one picture and the colours can no longer be told apart.
PARTS = 6


def write(store: Store, ds: date, settings: Settings) -> Path:
    """Write reports/<ds>.html, and report.html unless a later night has one already."""
    html = render(store, ds, settings)
    path = report_path(store, ds)
    write_atomically(path, html)
    if ds == max(p.ds for p in store.partitions("evaluations")):
        write_atomically(store.root / "report.html", html)
    return path


def report_path(store: Store, ds: date) -> Path:
    """Where the report of a night is kept."""
    return store.root / "reports" / f"{ds.isoformat()}.html"


def render(store: Store, ds: date, settings: Settings) -> str:
    """The report of one published night as one HTML document."""
    nights = [p.ds for p in store.partitions("evaluations", ds)][-NIGHTS:]
    rows = steps(store, nights)
    tonight = [row for row in rows if row.ds == ds]
    judged = evaluations(store, ds)
    newest = judged[-1] if judged and judged[-1].ds == ds else None
    found_judge, found_cold = judge(store, ds), cold_items(store, ds)
    ranker, found_worth = accounts.ranker(store, ds), worth(store, ds)
    manifests = _manifests(store, ds)
    refusals = accounts.refusals(store, ds)
    moved = drift.moved(manifests)
    return _template().render(
        ds=ds,
        verdict=verdict(ds, judged, settings.evaluate.horizon_days),
        cost=cost(tonight),
        ranker_words=ranker_words(ranker),
        evaluation=newest,
        stages=quality.stages(newest),
        metric_table=quality.metric_table(newest),
        quality_table=quality.quality_table(newest),
        slices=quality.slices(newest),
        history=quality.history(judged),
        recall_history=quality.history(judged, "recall_at_k"),
        recall=quality.recall(newest),
        recall_table=quality.recall_table(newest),
        deciles=quality.deciles(newest),
        calibration=quality.calibration(newest),
        coverage=quality.coverage_against_popularity(newest),
        worth=found_worth,
        price=price(found_worth, ds),
        ablation=picture(found_worth),
        cold=found_cold,
        cold_pictures=pictures(found_cold),
        judge=found_judge,
        confidences=confidences(found_judge),
        shares=_shares(ranker.group_shares() if ranker else []),
        moved_scores=_shares(accounts.moved_scores(store, ds)),
        importances=_importances(ranker),
        ranker=ranker,
        moved=moved,
        drift=drift.picture(moved),
        nights=[(night, [row for row in rows if row.ds == night]) for night in reversed(nights)],
        seconds=_by_step(nights, rows, "seconds"),
        tokens=_by_step(nights, rows, "tokens"),
        tonight=tonight,
        lists=_lists(manifests),
        notes={m["job"]: m["notes"] for m in manifests if m["notes"]},
        refusals=refusals,
        refused=_refused(refusals),
        categories=categories(store, ds),
        examples=examples(store, ds, settings.report.users),
        sources=accounts.sources(store, ds),
        answers=accounts.answers(store),
        manifests=manifests,
        written_at=datetime.now(UTC),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(units, name) for name in ("number", "short", "span", "day", "metric", "percent", "lift")
    }
    environment.globals |= {
        "interval": units.interval,
        "lift_interval": units.lift_interval,
        "per_million": per_million,
        "by_slice": by_slice,
        "slice_names": SLICE_NAMES,
        "stage_name": stage_name,
        "style": Markup((FOLDER / "report.css").read_text("utf-8")),
    }
    return environment.get_template("report.html.jinja")


def _manifests(store: Store, ds: date) -> list[dict[str, Any]]:
    from feature_store.tables import TABLES

    published = (store.published(table, ds) for table in TABLES)
    return [partition.manifest for partition in published if partition is not None]


def _lists(manifests: Sequence[dict[str, Any]]) -> int:
    return next((m["rows"]["written"] for m in manifests if m["table"] == "recommendations"), 0)


def _importances(ranker: accounts.Ranker | None) -> Markup | None:
    if ranker is None or not ranker.importances:
        return None
    shown = [i for i in ranker.importances if i.share > 0][:IMPORTANCES]
    bars = [
        charts.Bar(i.feature, i.share, units.percent(i.share), series=GROUPS.index(i.group)) for i in shown
    ]
    return charts.bars(bars) + charts.legend([GROUP_NAMES[group] for group in GROUPS])


def _shares(shares: Sequence[tuple[str, float]]) -> Markup | None:
    """Bars of the groups of features, each in its colour."""
    bars = [
        charts.Bar(GROUP_NAMES[group], share, units.percent(share), series=GROUPS.index(group))
        for group, share in shares
        if share > 0
    ]
    return charts.bars(bars, scaled_to=1.0) if bars else None


def _by_step(nights: Sequence[date], rows: Sequence[StepRow], what: str) -> Markup | None:
    """A stacked column a night: the steps that cost most, the others together."""
    amounts: dict[str, dict[date, float]] = {}
    for row in rows:
        amounts.setdefault(row.job, {})[row.ds] = float(getattr(row, what))
    costly = sorted(amounts, key=lambda job: -sum(amounts[job].values()))
    costly = [job for job in costly if sum(amounts[job].values())]
    if not costly:
        return None
    series = [
        charts.Series(job, [amounts[job].get(night) for night in nights]) for job in sorted(costly[:PARTS])
    ]
    if rest := costly[PARTS:]:
        together = [sum(amounts[job].get(night, 0.0) for job in rest) for night in nights]
        series.append(charts.Series(f"{len(rest)} other steps", list(together)))
    return charts.stacked([short_day(night) for night in nights], series, what)


def _refused(refusals: Sequence[accounts.Refusals]) -> Markup | None:
    if not refusals:
        return None
    return charts.bars(
        [charts.Bar(f"{r.job}: {r.reason}", r.count, units.number(r.count), series=3) for r in refusals]
    )
