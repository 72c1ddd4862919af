"""How far the night's tables have moved since the nights they were compared with, as the manifests say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from feature_store.drift import LITTLE, MUCH, Shift
from jobs.report import charts

SHOWN = 14


@dataclass(frozen=True)
class Moved:
    """A column of a table and its shift since an earlier night."""

    table: str
    column: str
    since: date
    shift: Shift

    @property
    def size(self) -> str:
        """By custom: little, some, much; or no more than two samples of one distribution differ."""
        if not self.shift.exceeds(0.0):
            return "chance"
        return "little" if self.shift.psi < LITTLE else "some" if self.shift.psi <= MUCH else "much"


# The colours of the style sheet: green, orange, red, grey.
COLOURS = {"little": 2, "some": 1, "much": 3, "chance": 6}


def moved(manifests: Iterable[Mapping[str, Any]]) -> list[Moved]:
    """Every compared column of a night's tables, furthest first."""
    found = [
        Moved(manifest["table"], name, date.fromisoformat(compared["ds"]), Shift(**shift))
        for manifest in manifests
        if (compared := manifest.get("drift"))
        for name, shift in compared["columns"].items()
    ]
    return sorted(found, key=lambda one: (-one.shift.psi, one.table, one.column))


def picture(columns: list[Moved]) -> Markup | None:
    """Bars of the columns that moved furthest."""
    if not columns:
        return None
    return charts.bars(
        [
            charts.Bar(
                f"{one.table}: {one.column}",
                one.shift.psi,
                f"{one.shift.psi:.3f}, {one.size}",
                series=COLOURS[one.size],
            )
            for one in columns[:SHOWN]
        ]
    )
