"""Pages about nights: reports, the Data Docs of checks that failed, the Feast repository."""

import json
import shutil
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from feature_store import data_docs
from feature_store.errors import NightmillError, UsageError
from feature_store.partitions import POINTER, Store, write_atomically
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.export_feast import DEFINITIONS, export
from jobs.forgetting.mentions import Mentions
from jobs.forgetting.people import People
from jobs.forgetting.runs import FORGOTTEN, holds
from jobs.forgetting.summary import Summary

LATEST = "report.html"
NAMED = "the rows that were named here were of a user who was forgotten"


def write_reports(store: Store, settings: Settings, people: People, summary: Summary) -> None:
    """Write anew the reports of nights that lost rows, and those that may mention them; else they go."""
    mentions = Mentions(people)
    for path in sorted((store.root / "reports").glob("*.html")):
        if _is_behind(store, path) or mentions.may_be_in(path.read_bytes()):
            summary.add("reports to be written anew")
            if not summary.dry_run:
                _write_anew(store, settings, path)
    latest = store.root / LATEST
    if not summary.dry_run and latest.exists():
        # It is the newest of them, which may have gone.
        if kept := sorted((store.root / "reports").glob("*.html")):
            write_atomically(latest, kept[-1].read_text("utf-8"))
        else:
            latest.unlink()


def _is_behind(store: Store, path: Path) -> bool:
    """Whether a table of the report's night lost rows after the report was written."""
    written, ds = path.stat().st_mtime_ns, date.fromisoformat(path.stem)
    for table in TABLES:
        pointer = store.folder(table, ds) / POINTER
        if pointer.exists() and pointer.stat().st_mtime_ns >= written:
            published = store.published_here(table, ds)
            if published is not None and published.manifest.get(FORGOTTEN):
                return True
    return False


def _write_anew(store: Store, settings: Settings, path: Path) -> None:
    from jobs.report.page import write

    ds = date.fromisoformat(path.stem)
    try:
        if store.published("evaluations", ds) is None:
            raise NightmillError(f"the night of {ds} is no longer published")
        write(store, ds, settings)
    except NightmillError:
        path.unlink()


def clear_data_docs(store: Store, people: People, summary: Summary) -> None:
    """Remove the pages of failed checks that name rows of theirs, and what the index says of these rows."""
    site = store.root / data_docs.FOLDER
    if not (site / data_docs.CHECKS).exists():
        return
    mentions = Mentions(people)
    checks = [json.loads(line) for line in (site / data_docs.CHECKS).read_text("utf-8").splitlines()]
    named = [check for check in checks if check["failures"] and _names(site, check, mentions)]
    summary.add("checks whose failures name rows", len(named))
    if not named or summary.dry_run:
        return
    for check in named:
        if check["page"]:
            (site / check["page"]).unlink(missing_ok=True)
        check |= {"page": None, "failures": [NAMED]}
    write_atomically(site / data_docs.CHECKS, "".join(f"{json.dumps(check)}\n" for check in checks))
    data_docs.write_index(site)


def _names(site: Path, check: dict[str, Any], mentions: Mentions) -> bool:
    page = site / check["page"] if check["page"] else None
    shown = page.read_bytes() if page is not None and page.exists() else b""
    return mentions.may_be_in(json.dumps(check["failures"], ensure_ascii=False).encode() + b"\n" + shown)


def export_again(store: Store, settings: Settings, people: People, summary: Summary) -> None:
    """Write the Feast repository of the data root anew; Feast's own store of what it served goes."""
    folder = store.root / "feast"
    if not (folder / DEFINITIONS).exists():
        return
    mentions = Mentions(people)
    for path in sorted(folder.glob("online_store.db*")):
        if mentions.may_be_in(path.read_bytes()):
            summary.add("online stores of Feast (run `feast materialize` again)")
            if not summary.dry_run:
                path.unlink()
    if _is_stale(folder, people):
        summary.add("Feast repositories to be exported anew")
    if summary.dry_run:
        return
    shutil.rmtree(folder / "data", ignore_errors=True)
    with suppress(UsageError):  # nothing is published any more
        export(store, folder, settings.generation.price)


def _is_stale(folder: Path, people: People) -> bool:
    """Whether a table of an export has rows of theirs, or links to runs that have gone."""
    tables = [table for table in folder.glob("data/*") if table.is_dir()]
    gone = any(not link.exists() for table in tables for link in table.iterdir())
    return gone or any(holds(table.name, table, people) is not False for table in tables)
