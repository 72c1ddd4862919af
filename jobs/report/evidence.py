"""What the evaluations say: the newest one, those of the nights before, and the best channel to beat."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import Store, read_leniently
from feature_store.tables import CHANNELS, TABLES
from jobs.recommender.published_values import EARLIER
from jobs.recommender.slices import ALL

HEADLINE = "ndcg_at_k"
COLUMNS = (
    "evaluated_ds",
    "stage",
    "metric",
    "k",
    "compared_to",
    "value",
    "low",
    "high",
    "users",
    "slice",
    "compared_ds",
    "horizon_days",
)


@dataclass(frozen=True)
class Measure:
    """One metric of one stage, or its difference to the stage in `compared_to`.

    compared_ds: the night it is the difference to, where that is another one.
    """

    stage: str
    metric: str
    k: int
    compared_to: str
    value: float
    low: float | None
    high: float | None
    users: int
    slice: str = ALL
    compared_ds: date | None = None

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """What sets it apart from the other measures of an evaluation."""
        return self.stage, self.metric, self.k, self.compared_to, self.slice


@dataclass(frozen=True)
class Evaluation:
    """What one night found about the lists of an earlier one."""

    ds: date
    evaluated_ds: date
    horizon_days: int
    measures: tuple[Measure, ...]

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, int, str, str], Measure]:
        return {measure.key: measure for measure in self.measures}

    def find(self, stage: str, metric: str, k: int, compared_to: str = "", part: str = ALL) -> Measure | None:
        """One measure of a slice, or None where it was not taken."""
        return self._by_key.get((stage, metric, k, compared_to, part))

    @property
    def published(self) -> str:
        """The stage that ordered the published lists."""
        return "ranker" if any(m.stage == "ranker" for m in self.measures) else "candidates"

    @property
    def stages(self) -> list[str]:
        """Stages that were measured: published first, then merged recall, then the channels."""
        measured = {m.stage for m in self.measures}
        known = [stage for stage in ("ranker", "candidates", *CHANNELS) if stage in measured]
        return known + sorted(measured.difference(known))

    @property
    def cutoffs(self) -> list[int]:
        """The cut-offs of the list metrics, shortest first."""
        return sorted({m.k for m in self.measures if m.metric == HEADLINE})

    @property
    def k(self) -> int:
        """The cut-off the headline is about: 10, or what is nearest to it."""
        return min(self.cutoffs, key=lambda k: (abs(k - 10), k), default=10)

    @property
    def best_channel(self) -> Measure | None:
        """The channel with the best headline metric."""
        channels = (self.find(s, HEADLINE, self.k) for s in self.stages if s not in ("ranker", "candidates"))
        return max((m for m in channels if m is not None), key=lambda m: m.value, default=None)

    @property
    def difference(self) -> Measure | None:
        """The published lists against the best channel, paired over the same users."""
        best = self.best_channel
        return None if best is None else self.find(self.published, HEADLINE, self.k, best.stage)

    @property
    def against_earlier(self) -> Measure | None:
        """The published lists against those of an earlier night, where there was one."""
        return self.find(self.published, HEADLINE, self.k, EARLIER)

    @property
    def users(self) -> int:
        """Users behind the headline metric."""
        measure = self.find(self.published, HEADLINE, self.k)
        return measure.users if measure else 0

    @property
    def listed_users(self) -> int:
        """Users with a list, whether they came back or not."""
        measure = self.find(self.published, "item_coverage", self.k)
        return measure.users if measure else 0

    @property
    def first_day(self) -> date:
        """First day of the events the lists were judged by."""
        return self.evaluated_ds + timedelta(days=1)

    @property
    def last_day(self) -> date:
        """Last day of the events the lists were judged by."""
        return self.evaluated_ds + timedelta(days=self.horizon_days)


def evaluations(store: Store, until: date, nights: int = 60) -> list[Evaluation]:
    """The newest evaluation of each evaluated night, oldest first, as far as published by `until`."""
    found: dict[date, Evaluation] = {}
    for partition in store.partitions("evaluations", until)[-nights:]:
        evaluation = _evaluation(partition.ds, _rows(partition.files))
        if evaluation is not None:
            found[evaluation.evaluated_ds] = evaluation
    return [found[ds] for ds in sorted(found)]


def _rows(files: list[Path]) -> pa.Table:
    """Rows of one night; those of a night from before there were slices are about everything."""
    schema = pa.schema([TABLES["evaluations"].schema.field(name) for name in COLUMNS])
    rows = read_leniently(schema, files) if files else schema.empty_table()
    return rows.set_column(COLUMNS.index("slice"), "slice", pc.fill_null(rows["slice"], ALL))


def _evaluation(ds: date, rows: pa.Table) -> Evaluation | None:
    if not rows.num_rows:
        return None
    evaluated_ds, horizon_days = rows["evaluated_ds"][0].as_py(), rows["horizon_days"][0].as_py()
    records = rows.drop_columns(["evaluated_ds", "horizon_days"]).to_pylist()
    return Evaluation(ds, evaluated_ds, horizon_days, tuple(Measure(**record) for record in records))
