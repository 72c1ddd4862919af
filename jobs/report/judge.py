"""The judge of cold items: what its answers are worth, by the questions of which the answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from feature_store.partitions import Store, read_leniently
from feature_store.tables import TABLES
from jobs.report import charts, units

# Parts of the histogram of confidences.
PARTS = 5
HEADLINES = {
    "knows something": "It does better than chance",
    "knows nothing": "It does no better than chance",
    "not checked": "There was no question to check it by",
}


@dataclass(frozen=True)
class JudgeAccount:
    """What a night's manifest says of the judge; shares in [0, 1], `lean` in log-odds.

    accuracy: over `agreed` known questions, with its 95% interval; None without any. confidences: of the
    synthetic interactions of the night.
    """

    verdict: str
    answers: int
    first_share: float
    lean: float
    agreement: float
    checks: int
    agreed: int
    accuracy: float | None
    low: float
    high: float
    confidences: Sequence[float]

    @property
    def headline(self) -> str:
        """The verdict in words."""
        return HEADLINES.get(self.verdict, self.verdict)


def judge(store: Store, ds: date) -> JudgeAccount | None:
    """The judge of a night; None where nothing was asked, or by an older Nightmill."""
    partition = store.published("synthetic_interactions", ds)
    if partition is None or "judge_verdict" not in partition.manifest.get("provenance", {}):
        return None
    said: dict[str, Any] = partition.manifest["provenance"]
    field = TABLES["synthetic_interactions"].schema.field("confidence")
    rows = read_leniently(pa.schema([field]), partition.files) if partition.files else None
    return JudgeAccount(
        said["judge_verdict"],
        said["answers"],
        said["answers_first_share"],
        said["position_lean_log_odds"],
        said["agreement_rate"],
        said["checks"],
        said["checks_agreed"],
        said["judge_accuracy"],
        said["judge_accuracy_low"],
        said["judge_accuracy_high"],
        rows["confidence"].to_pylist() if rows is not None else [],
    )


def picture(found: JudgeAccount | None) -> Markup | None:
    """How many answers have which confidence; None without any."""
    if found is None or not len(found.confidences):
        return None
    counts, edges = np.histogram(found.confidences, PARTS, (0.0, 1.0))
    return charts.bars(
        [
            charts.Bar(f"{low:.1f} to {high:.1f}", float(count), units.number(int(count)), series=5)
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    )
