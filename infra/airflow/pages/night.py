"""One night as a page: its steps, the prompts and models that spoke in it, its tokens and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from feature_store import data_docs
from feature_store.partitions import Partition, Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.chain import CHAIN
from jobs.llm.ledger import Ledger, cost
from jobs.night_accounts import StepRow, steps
from jobs.report import units
from jobs.report.page import FOLDER as REPORT_FOLDER
from jobs.report.page import report_path
from jobs.report.verdict import cost as cost_in_words

NO_NIGHT = (
    "No job has published anything in this data root: in Airflow unpause `nightly` and trigger a run or a "
    "backfill; on the command line `nightmill run --ds DATE`."
)


@dataclass(frozen=True)
class Step:
    """A published step of a night; prompt and model are empty where none spoke."""

    row: StepRow
    prompt: str
    prompt_hash: str
    model: str
    revision: str
    run_id: str
    finished_at: datetime
    notes: list[str]


def nights(store: Store) -> list[date]:
    """The dates for which any job published a table of its own, oldest first."""
    snapshots = (name for name, table in TABLES.items() if table.kind == "snapshot")
    return sorted({partition.ds for name in snapshots for partition in store.partitions(name)})


def published_steps(store: Store, ds: date) -> list[Step]:
    """The steps of a night in the order of the chain, then any others."""
    order = {name: place for place, name in enumerate(CHAIN)}
    rows = sorted(steps(store, [ds]), key=lambda row: order.get(row.job, len(order)))
    newest = _newest(store, ds)
    return [_step(row, newest[row.job]) for row in rows]


def _newest(store: Store, ds: date) -> dict[str, Partition]:
    """By job, a table of its newest run for ds."""
    found: dict[str, Partition] = {}
    for name, table in TABLES.items():
        if partition := store.published(name, ds):
            before = found.setdefault(table.job, partition)
            found[table.job] = max(before, partition, key=lambda p: p.finished_at)
    return found


def _step(row: StepRow, run: Partition) -> Step:
    said = run.manifest["provenance"]
    named = said.get("prompt_name")
    return Step(
        row=row,
        prompt=f"{named} v{said['prompt_version']}" if named else "",
        prompt_hash=said.get("prompt_hash") or "",
        model=said.get("model_id") or "",
        revision=said.get("model_revision") or "",
        run_id=run.run_id,
        finished_at=run.finished_at,
        notes=run.manifest["notes"],
    )


def render_night(store: Store, ds: date, known: Sequence[date], settings: Settings) -> str:
    """The page of a night, published or not; `known` are the nights that have anything, oldest first."""
    done = published_steps(store, ds)
    rows = [step.row for step in done]
    entries = Ledger(store.root).entries(ds)
    price = settings.generation.price
    return _template("night.html.jinja").render(
        ds=ds,
        before=max((night for night in known if night < ds), default=None),
        after=min((night for night in known if night > ds), default=None),
        newest=known[-1] if known else None,
        steps=done,
        waiting=[name for name in CHAIN if name not in {row.job for row in rows}],
        words=cost_in_words(rows) if rows else "",
        spent=sum(entry.tokens for entry in entries),
        runs=len(entries),
        budget=settings.generation.budget.tokens,
        paid=cost(entries, price),
        currency=price.currency,
        refused=[check for check in data_docs.checks(store.root, ds) if check["failures"]],
        has_report=report_path(store, ds).is_file(),
    )


def render_message(title: str, text: str, links: Mapping[str, str]) -> str:
    """A page that says one thing and where to go on; `links` are address -> words."""
    return _template("message.html.jinja").render(title=title, text=text, links=links)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(units, name) for name in ("number", "short", "span", "day")}
    environment.globals["style"] = Markup((REPORT_FOLDER / "report.css").read_text("utf-8"))
    return environment.get_template(name)
