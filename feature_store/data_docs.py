"""The Data Docs site: a static page for every check Great Expectations made, and an index of them.

    <data>/data_docs/index.html                        every check, newest first; opens from disk
    <data>/data_docs/validations/<table>/<ds>-<run>/   the pages, in Great Expectations' own layout
    <data>/data_docs/checks.jsonl                      what the index is made of, one line a check

Old pages are never rendered again: a check adds one page, one line, and a new index.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from feature_store.partitions import write_atomically

FOLDER = "data_docs"
CHECKS = "checks.jsonl"
# The index shows so many of the newest checks; checks.jsonl and the pages keep all of them.
SHOWN = 2000


@dataclass
class Check:
    """One check of the staged rows of one table; `page` is relative to the site, None where none was made."""

    table: str
    ds: date
    run_id: str
    rows: int
    expectations: int = 0
    failures: list[str] = field(default_factory=list)
    page: str | None = None
    checked_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def record(root: Path, check: Check) -> Path:
    """Add a check to the site; returns the index. The caller holds the lock of the site."""
    site = root / FOLDER
    site.mkdir(parents=True, exist_ok=True)
    with open(site / CHECKS, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(asdict(check), default=str) + "\n")
    return write_index(site)


def write_index(site: Path) -> Path:
    """Write the index of the checks that are on record."""
    lines = (site / CHECKS).read_text("utf-8").splitlines()
    checks = [json.loads(line) for line in reversed(lines[-SHOWN:])]
    write_atomically(site / "index.html", _render(checks, len(lines)))
    return site / "index.html"


def checks(root: Path, ds: date) -> list[dict[str, Any]]:
    """Every check of the tables of a date as `Check` has it, oldest first."""
    log = root / FOLDER / CHECKS
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [check for check in map(json.loads, lines) if check["ds"] == ds.isoformat()]


def _render(checks: list[dict[str, object]], total: int) -> str:
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    return templates.get_template("data_docs.html.jinja").render(checks=checks, total=total)
