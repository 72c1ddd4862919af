"""Gather a night and the nights before it, draw them, and write report.html."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from feature_store.partitions import Store, write_atomically
from feature_store.settings import Settings
from jobs.night_accounts import StepRow, steps
from jobs.report import accounts, charts, drift, units
from jobs.report.evidence import Evaluation, evaluations
from jobs.report.examples import examples
from jobs.report.verdict import METRIC_NAMES, cost, ranker_words, stage_name, verdict

FOLDER = Path(__file__).parent
NIGHTS = 30
IMPORTANCES = 14
# More steps than this in one picture and the colours can no longer be told apart.
PARTS = 6
GROUPS = ("behaviour", "recall score", "language model")


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
    ranker = accounts.ranker(store, ds)
    manifests = _manifests(store, ds)
    refusals = accounts.refusals(store, ds)
    moved = drift.moved(manifests)
    return _template().render(
        ds=ds,
        verdict=verdict(ds, judged, settings.evaluate.horizon_days),
        cost=cost(tonight),
        ranker_words=ranker_words(ranker),
        evaluation=newest,
        quality=_quality(newest),
        metric_table=_metric_table(newest),
        history=_history(judged),
        recall=_recall(newest),
        recall_table=_recall_table(newest),
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
        name: getattr(units, name) for name in ("number", "short", "span", "day", "metric", "percent")
    }
    environment.globals |= {
        "interval": units.interval,
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


def _quality(evaluation: Evaluation | None) -> Markup | None:
    if evaluation is None or not evaluation.users:
        return None
    rows = []
    for stage in evaluation.stages:
        measure = evaluation.find(stage, "ndcg_at_k", evaluation.k)
        if measure is not None:
            strong = stage == evaluation.published
            ends = (measure.low, measure.high)
            rows.append(charts.Estimate(stage_name(stage), measure.value, *ends, strong))
    return charts.estimates(rows)


def _metric_table(evaluation: Evaluation | None) -> list[tuple[str, list[Any]]]:
    """Heading by heading, the measures of every stage, then the difference of the published lists to it."""
    if evaluation is None:
        return []
    k = evaluation.k
    wanted = [("ndcg_at_k", n) for n in evaluation.cutoffs] + [("recall_at_k", k), ("hit_rate_at_k", k)]
    table = [
        (f"{METRIC_NAMES[metric]}@{n}", [evaluation.find(stage, metric, n) for stage in evaluation.stages])
        for metric, n in wanted
    ]
    against = [evaluation.find(evaluation.published, "ndcg_at_k", k, stage) for stage in evaluation.stages]
    coverage = [evaluation.find(stage, "item_coverage", k) for stage in evaluation.stages]
    return [*table, (f"Published minus this, NDCG@{k}", against), (f"Catalogue in the lists@{k}", coverage)]


def _history(judged: Sequence[Evaluation]) -> Markup | None:
    """The headline metric over nights, published lists and the best channel of the newest night."""
    judged = [evaluation for evaluation in judged if evaluation.users][-NIGHTS:]
    if len(judged) < 2 or judged[-1].best_channel is None:
        return None
    k, channel = judged[-1].k, judged[-1].best_channel.stage
    series = []
    for name, stage in (("Published lists", None), (f"{stage_name(channel)} alone", channel)):
        found = [e.find(stage or e.published, "ndcg_at_k", k) for e in judged]
        values = [m.value if m else None for m in found]
        series.append(charts.Series(name, values, [(m.low, m.high) if m else (None, None) for m in found]))
    labels = [short_day(evaluation.evaluated_ds) for evaluation in judged]
    return charts.over_nights(labels, series, f"NDCG@{k} over nights")


def short_day(ds: date) -> str:
    """A date as a column label: 7 Jan."""
    return f"{ds.day} {ds:%b}"


def _recall(evaluation: Evaluation | None) -> Markup | None:
    table = _recall_table(evaluation)
    bars = [
        charts.Bar(
            f"{stage_name(whole.stage)}, {whole.k}",
            whole.value,
            f"{units.percent(whole.value)}, alone {units.percent(gain.value)}"
            if gain
            else units.percent(whole.value),
            gain.value if gain else None,
        )
        for whole, gain in table
    ]
    return charts.bars(bars, scaled_to=1.0) if bars else None


def _recall_table(evaluation: Evaluation | None) -> list[tuple[Any, Any]]:
    """Candidate recall of merged recall and of each channel, with what only that channel found."""
    if evaluation is None:
        return []
    gains = {m.stage: m for m in evaluation.measures if m.metric == "candidate_recall_gain_at_n"}
    found = {m.stage: m for m in evaluation.measures if m.metric == "candidate_recall_at_n"}
    return [(found[stage], gains.get(stage)) for stage in evaluation.stages if stage in found]


def _importances(ranker: accounts.Ranker | None) -> Markup | None:
    if ranker is None or not ranker.importances:
        return None
    shown = [i for i in ranker.importances if i.share > 0][:IMPORTANCES]
    bars = [
        charts.Bar(i.feature, i.share, units.percent(i.share), series=GROUPS.index(i.group)) for i in shown
    ]
    return charts.bars(bars) + charts.legend(GROUPS)


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
