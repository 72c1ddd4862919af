"""`nightmill export-feast`: a Feast repository over the published Parquet, made from the contracts.

    feature_store.yaml   a local registry, DuckDB as offline store
    definitions.py       entities, a feature view a table, a feature service a trained ranker
    data/<table>/        links to the files of the published runs; copied are those that lack a newer column

Feast is not needed to write it. Links name runs: export again when nights were published or removed.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.contract import Column, Table
from feature_store.errors import UsageError
from feature_store.partitions import Partition, Store, read, read_leniently, write_atomically
from feature_store.sections import Price
from feature_store.tables import TABLES
from jobs.llm.ledger import Ledger, cost
from jobs.report.accounts import sources

ENTITIES = {"user_id": "user", "item_id": "item"}
TYPES = {
    "string": "String",
    "bool": "Bool",
    "int64": "Int64",
    "double": "Float64",
    "float": "Float32",
    "timestamp[us, tz=UTC]": "UnixTimestamp",
}
# Where the ranker's features come from; other tables may have columns of the same names.
RANKED = {"candidates", "item_features", "user_features"}
DEFINITIONS = "definitions.py"
TEMPLATES = Path(__file__).with_name("feast")
MADE_BY = "# Made by `nightmill export-feast`"


@dataclass(frozen=True)
class View:
    """A table as a feature view; `entities` are in the order of its key."""

    table: Table
    entities: list[str]
    fields: list[Column]
    tags: dict[str, str]


@dataclass(frozen=True)
class Service:
    """The features a ranker was trained on, by view; a tag names those that are made for each request."""

    name: str
    features: dict[str, list[str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def export(store: Store, folder: Path, price: Price) -> str:
    """Write the repository into `folder` (new, empty, or a former export); returns what to do next."""
    _refuse_foreign(folder)
    views = [view for table in TABLES.values() if (view := _view(store, table, price))]
    if not views:
        raise UsageError(f"nothing is published under {store.root}: run `nightmill run --ds D` first")
    services = _services(store, views)
    names = {"views": views, "services": services, "entities": ENTITIES}
    names |= {"feast_type": feast_type, "field_tags": field_tags}
    for template in TEMPLATES.glob("*.jinja"):
        write_atomically(folder / template.stem, _render(template.name, names))
    for view in views:
        _link(store.partitions(view.table.name), view.table, folder / "data" / view.table.name)
    return (
        f"{len(views)} feature views and {len(services)} feature services in {folder}; "
        f"now `cd {folder} && feast apply`"
    )


def _refuse_foreign(folder: Path) -> None:
    """Refuse to write into a folder that holds something else."""
    definitions = folder / DEFINITIONS
    ours = definitions.exists() and definitions.read_text("utf-8").startswith(MADE_BY)
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is no empty folder and no former export: name another with --to")


def _view(store: Store, table: Table, price: Price) -> View | None:
    """The feature view of a table whose key is users, items or both; None where there is nothing to show."""
    if not set(table.key) <= ENTITIES.keys() or table.kind == "event":
        return None
    newest = next(reversed(store.partitions(table.name)), None)
    if newest is None:
        return None
    fields = [c for c in table.columns if c.name not in table.key and feast_type(c.type)]
    return View(table, [ENTITIES[key] for key in table.key], fields, _tags(store, newest, price))


def feast_type(type_: pa.DataType) -> str | None:
    """The name of a type in feast.types; None for dates, which Feast does not have."""
    if pa.types.is_list(type_):
        return f"Array({feast_type(type_.value_type)})"
    return TYPES.get(str(type_))


def field_tags(column: Column) -> dict[str, str]:
    """What Feast is to say of a feature besides its description."""
    tags = {"from_model": "true" if column.from_model else "", "unit": column.unit}
    return {name: value for name, value in tags.items() if value}


def _tags(store: Store, newest: Partition, price: Price) -> dict[str, str]:
    """Prompt and model behind the newest night of a table, directly or through its inputs, and their cost."""
    behind = {newest.table, *newest.manifest["inputs"]}
    made = [source for source in sources(store, newest.ds) if source.table in behind]
    tags = {"job": newest.manifest["job"], "code_version": newest.manifest["code_version"]}
    tags |= _listed("prompt", (f"{s.prompt} ({s.prompt_hash[:12]})" for s in made if s.prompt))
    tags |= _listed("model", (f"{s.model_id}@{s.model_revision}" for s in made))
    jobs = {TABLES[source.table].job for source in made}
    paid = [entry for entry in Ledger(store.root).entries() if entry.job in jobs]
    if paid:
        tags["tokens"] = str(sum(entry.tokens for entry in paid))
        if (total := cost(paid, price)) is not None:
            tags["cost"] = f"{total:.2f} {price.currency}"
    return tags


def _listed(name: str, values: Iterable[str]) -> dict[str, str]:
    distinct = sorted(set(values))
    return {name: ", ".join(distinct)} if distinct else {}


def _services(store: Store, views: list[View]) -> list[Service]:
    """A feature service for every published ranker that was trained."""
    ranked = [view for view in views if view.table.name in RANKED]
    names = {column.name: view.table.name for view in ranked for column in view.fields}
    found = []
    for partition in store.partitions("rankers"):
        rows = read("rankers", partition.files, ["status", "features", "run_id"]).to_pylist()
        found += [_service(partition, row, names) for row in rows if row["status"] == "trained"]
    return found


def _service(partition: Partition, row: Mapping[str, Any], names: Mapping[str, str]) -> Service:
    features: dict[str, list[str]] = {}
    for feature in row["features"]:
        if feature in names:
            features.setdefault(names[feature], []).append(feature)
    tags = {"ranker_run_id": row["run_id"]}
    tags |= _listed("not_in_a_table", (feature for feature in row["features"] if feature not in names))
    return Service(f"ranker_{partition.ds:%Y_%m_%d}", features, tags)


def _link(partitions: Iterable[Partition], table: Table, folder: Path) -> None:
    """Put links to the files of these partitions into a new folder, in place of the old one."""
    staged = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for partition in partitions:
        for file in partition.files:
            name = staged / f"{partition.ds}-{partition.run_id}-{file.name}"
            if set(table.schema.names) <= set(pq.read_schema(file).names):
                os.symlink(file.resolve(), name)
            else:
                # Feast takes the columns of the first file for those of all.
                pq.write_table(read_leniently(table.schema, [file]), name, compression="zstd")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(staged, folder)


def _render(name: str, values: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Every value stands in the Python text as a literal.
    environment.filters["literal"] = repr
    return environment.get_template(name).render(made_by=MADE_BY, **values)
