"""What the evaluations say: the newest one, those of the nights before, and the best channel to beat."""

from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa

from feature_store.partitions import Store, read
from feature_store.tables import CHANNELS

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
    "horizon_days",
)


@dataclass(frozen=True)
class Measure:
    """One metric of one stage, or its paired difference to the stage in `compared_to`."""

    stage: str
    metric: str
    k: int
    compared_to: str
    value: float
    low: float | None
    high: float | None
    users: int


@dataclass(frozen=True)
class Evaluation:
    """What one night found about the lists of an earlier one."""

    ds: date
    evaluated_ds: date
    horizon_days: int
    measures: tuple[Measure, ...]

    def find(self, stage: str, metric: str, k: int, compared_to: str = "") -> Measure | None:
        """One measure, or None where it was not taken."""
        wanted = (stage, metric, k, compared_to)
        return next((m for m in self.measures if (m.stage, m.metric, m.k, m.compared_to) == wanted), None)

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
        evaluation = _evaluation(partition.ds, read("evaluations", partition.files, list(COLUMNS)))
        if evaluation is not None:
            found[evaluation.evaluated_ds] = evaluation
    return [found[ds] for ds in sorted(found)]


def _evaluation(ds: date, rows: pa.Table) -> Evaluation | None:
    if not rows.num_rows:
        return None
    evaluated_ds, horizon_days = rows["evaluated_ds"][0].as_py(), rows["horizon_days"][0].as_py()
    records = rows.drop_columns(["evaluated_ds", "horizon_days"]).to_pylist()
    return Evaluation(ds, evaluated_ds, horizon_days, tuple(Measure(**record) for record in records))
