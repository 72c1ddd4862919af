"""What an evaluation says, as tables and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from jobs.recommender.slices import ITEM_SLICES, USER_SLICES
from jobs.report import charts, signed, units
from jobs.report.evidence import HEADLINE, Evaluation, Measure
from jobs.report.verdict import METRIC_NAMES, stage_name

NIGHTS = 30
SLICE_NAMES = {
    "warm_item": "Warm items",
    "cold_item": "Cold items",
    "head": "Head: 80% of events",
    "tail": "Tail: the other 20%",
    "active_user": "Active users",
    "occasional_user": "Occasional users",
    "new_user": "New users",
}
LIST_QUALITIES = {
    "novelty": "Novelty (bits)",
    "intra_list_diversity": "Diversity",
    "popularity_bias": "Popularity bias",
    "miscalibration": "Miscalibration",
}
DECILE = "taken_share_in_decile"


@dataclass(frozen=True)
class Slice:
    """One slice: the published lists, the best channel overall, and their paired difference."""

    label: str
    ours: Measure
    theirs: Measure | None
    difference: Measure | None


def stages(evaluation: Evaluation | None) -> Markup | None:
    """The headline metric of every stage."""
    if evaluation is None or not evaluation.users:
        return None
    rows = []
    for stage in evaluation.stages:
        measure = evaluation.find(stage, HEADLINE, evaluation.k)
        if measure is not None:
            strong = stage == evaluation.published
            rows.append(charts.Estimate(stage_name(stage), measure.value, measure.low, measure.high, strong))
    return charts.estimates(rows)


def metric_table(evaluation: Evaluation | None) -> list[tuple[str, list[Measure | None]]]:
    """Heading by heading, the measures of every stage, then the difference of the published lists to it."""
    if evaluation is None:
        return []
    k = evaluation.k
    wanted = [(HEADLINE, n) for n in evaluation.cutoffs] + [
        (name, k) for name in METRIC_NAMES if name != HEADLINE
    ]
    table = [
        (f"{METRIC_NAMES[metric]}@{n}", [evaluation.find(stage, metric, n) for stage in evaluation.stages])
        for metric, n in wanted
    ]
    against = [evaluation.find(evaluation.published, HEADLINE, k, stage) for stage in evaluation.stages]
    return [*table, (f"Published minus this, NDCG@{k}", against)]


def quality_table(evaluation: Evaluation | None) -> list[tuple[str, list[Measure | None]]]:
    """What the lists of every stage are like apart from being right."""
    if evaluation is None:
        return []
    k = evaluation.k
    found = [
        (heading, [evaluation.find(stage, metric, k) for stage in evaluation.stages])
        for metric, heading in ({"item_coverage": "Catalogue in the lists"} | LIST_QUALITIES).items()
    ]
    return [(heading, measures) for heading, measures in found if any(measures)]


def slices(evaluation: Evaluation | None) -> list[Slice]:
    """The headline metric slice by slice, beside the channel that is best over everything."""
    if evaluation is None or evaluation.best_channel is None:
        return []
    ours, best, k = evaluation.published, evaluation.best_channel.stage, evaluation.k
    found = []
    for part in (*ITEM_SLICES, *USER_SLICES):
        measure = evaluation.find(ours, HEADLINE, k, part=part)
        if measure is not None:
            theirs = evaluation.find(best, HEADLINE, k, part=part)
            difference = evaluation.find(ours, HEADLINE, k, best, part)
            found.append(Slice(SLICE_NAMES[part], measure, theirs, difference))
    return found


def history(judged: Sequence[Evaluation], metric: str = HEADLINE) -> Markup | None:
    """A metric over nights: the published lists and the best channel of the newest night."""
    judged = [evaluation for evaluation in judged if evaluation.users][-NIGHTS:]
    if len(judged) < 2 or judged[-1].best_channel is None:
        return None
    k, channel = judged[-1].k, judged[-1].best_channel.stage
    series = []
    for name, stage in (("Published lists", None), (f"{stage_name(channel)} alone", channel)):
        found = [e.find(stage or e.published, metric, k) for e in judged]
        values = [m.value if m else None for m in found]
        series.append(charts.Series(name, values, [(m.low, m.high) if m else (None, None) for m in found]))
    labels = [short_day(evaluation.evaluated_ds) for evaluation in judged]
    return charts.over_nights(labels, series, f"{METRIC_NAMES[metric]}@{k} over nights")


def short_day(ds: date) -> str:
    """A date as a column label: 7 Jan."""
    return f"{ds.day} {ds:%b}"


def recall(evaluation: Evaluation | None) -> Markup | None:
    """Candidate recall merged and by channel, in full colour what only this channel found."""
    bars = [
        charts.Bar(
            f"{stage_name(whole.stage)}, {whole.k}",
            whole.value,
            f"{units.percent(whole.value)}, alone {units.percent(gain.value)}"
            if gain
            else units.percent(whole.value),
            gain.value if gain else None,
        )
        for whole, gain in recall_table(evaluation)
    ]
    return charts.bars(bars, scaled_to=1.0) if bars else None


def recall_table(evaluation: Evaluation | None) -> list[tuple[Measure, Measure | None]]:
    """Candidate recall of merged recall and of each channel, with what only that channel found."""
    if evaluation is None:
        return []
    whole = [m for m in evaluation.measures if m.slice == "all"]
    gains = {m.stage: m for m in whole if m.metric == "candidate_recall_gain_at_n"}
    found = {m.stage: m for m in whole if m.metric == "candidate_recall_at_n"}
    # The published stage is no stage of recall where a ranker made it.
    order = dict.fromkeys(("candidates", *evaluation.stages))
    return [(found[stage], gains.get(stage)) for stage in order if stage in found]


def deciles(evaluation: Evaluation | None) -> Markup | None:
    """How often items were taken by the decile of their score, best first: a score that orders falls."""
    if evaluation is None:
        return None
    found = sorted((m for m in evaluation.measures if m.metric == DECILE), key=lambda m: -m.k)
    if len(found) < 2:
        return None
    return charts.estimates(
        [charts.Estimate(_decile(measure.k), measure.value, measure.low, measure.high) for measure in found]
    )


def _decile(k: int) -> str:
    return "Best tenth of scores" if k == 10 else "Worst tenth" if k == 1 else f"Tenth {11 - k}"


def calibration(evaluation: Evaluation | None) -> Markup | None:
    """How far each stage's lists are from their users' own mix of categories."""
    if evaluation is None:
        return None
    found = [(stage, evaluation.find(stage, "miscalibration", evaluation.k)) for stage in evaluation.stages]
    rows = [
        charts.Estimate(stage_name(stage), m.value, m.low, m.high, stage == evaluation.published)
        for stage, m in found
        if m is not None
    ]
    return charts.estimates(rows) if rows else None


def coverage_against_popularity(evaluation: Evaluation | None) -> Markup | None:
    """Every stage by the share of the catalogue it shows and how much more popular than wanted it is."""
    if evaluation is None:
        return None
    points = []
    for stage in evaluation.stages:
        covered = evaluation.find(stage, "item_coverage", evaluation.k)
        bias = evaluation.find(stage, "popularity_bias", evaluation.k)
        if covered is not None and bias is not None:
            series = 0 if stage == evaluation.published else 6
            points.append(signed.Point(stage_name(stage), covered.value, bias.value, series))
    names = ("share of the catalogue in the lists", "more popular than what is taken")
    return signed.scatter(points, *names) if points else None
