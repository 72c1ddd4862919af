"""A copy of a source with events, texts and users planted after a night, each carrying a mark.

What stands before the night's end is copied as it is; whatever is planted is dated at the end or later, so
that no job for the night may see it.
"""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.contract import TIME
from feature_store.errors import UsageError
from feature_store.sections import Source
from feature_store.settings import Settings
from jobs.night import end_of
from jobs.sources import tables
from jobs.sources.catalogue import SINCE
from jobs.sources.tables import Raw

PLANTED = 20  # users, and items, that are new after the night
CHANGED = 100  # items, and users, about which something new is said after it
EVERY = timedelta(seconds=7)  # the planted events follow one another
# A prefix keeps the copy's columns apart from a source's own item and user columns.
PREFIX = "nightmill_"
EVENT = {"user_id": "user", "item_id": "item", "event_time": "time", "event_type": "event", "weight": "value"}
ITEM = {
    "item_id": "item",
    **{name: name for name in ("title", "description", "categories", "price", "brand")},
}
TYPES = {"categories": pa.list_(pa.string()), "price": pa.float64(), SINCE: TIME}


def read_before(settings: Settings, ds: date) -> Raw:
    """The source as of a night; UsageError where it has no event by then."""
    raw = tables.read(settings, end_of(ds))
    if not raw.events.num_rows:
        raise UsageError(f"--ds {ds} is before the data of {settings.source.location}")
    return raw


def plant(raw: Raw, settings: Settings, ds: date, mark: str, folder: Path) -> dict[str, int]:
    """Write a source's copy into a folder, with what is planted after ds; returns how many rows that is.

    An empty mark plants nothing.
    """
    source, as_of = settings.source, end_of(ds)
    new = _new_rows(raw, as_of, mark, source) if mark else {}
    known = {
        "interactions": raw.events.select(list(EVENT)).to_pylist(),
        "items": _with_attributes(raw.items),
        "users": _with_attributes(raw.users),
    }
    columns = {
        "interactions": dict(EVENT),
        "items": ITEM | {SINCE: "since"},
        "users": {"user_id": "user", SINCE: "since"},
    }
    attributes = {"items": source.item_attributes, "users": source.user_attributes}
    folder.mkdir(parents=True)
    for role, rows in known.items():
        names = {name: PREFIX + column for name, column in columns[role].items()}
        names |= {name: name for name in attributes.get(role, ())}
        table = pa.table(
            {
                column: pa.array([row.get(name) for row in [*rows, *new.get(role, ())]], _type(role, name))
                for name, column in names.items()
            }
        )
        pq.write_table(table, folder / f"{role}.parquet")
    return {role: len(rows) for role, rows in new.items()}


def _type(role: str, name: str) -> pa.DataType:
    if role == "interactions":
        return {"event_time": TIME, "weight": pa.float64()}.get(name, pa.string())
    return TYPES.get(name, pa.string())


def _with_attributes(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows with their further fields as columns of their own."""
    return [json.loads(row["attributes"]) | row for row in rows.to_pylist()]


def _new_rows(raw: Raw, as_of: datetime, mark: str, source: Source) -> dict[str, list[dict[str, Any]]]:
    """What is planted, by role: the first of it at the very end of the night, which it must not know."""
    items, users = _busiest(raw.events, "item_id"), _busiest(raw.events, "user_id")
    new_items = [f"{mark}-item-{n}" for n in range(PLANTED)]
    new_users = [f"{mark}-user-{n}" for n in range(PLANTED)]
    pairs = [(user, item) for user in new_users for item in items[:10]]
    pairs += [(user, item) for user in users for item in (*new_items[:3], *items[-3:])]
    # Of a type the settings know: marked are the ids, and the counts of what was known before give it away.
    kinds = raw.events.filter(pc.greater_equal(raw.events["weight"], 0))["event_type"]
    happens = {"event_type": pc.min(kinds).as_py(), "weight": 5.0}
    events = [
        {"user_id": user, "item_id": item, "event_time": as_of + n * EVERY} | happens
        for n, (user, item) in enumerate(pairs)
    ]
    texts: dict[str, Any] = dict.fromkeys(("title", "description", "brand", *source.item_attributes), mark)
    texts |= {"categories": [mark], "price": 1.0, SINCE: as_of}
    fields: dict[str, Any] = dict.fromkeys(source.user_attributes, mark)
    fields[SINCE] = as_of
    return {
        "interactions": events,
        "items": [{"item_id": item} | texts for item in (*items, *new_items)],
        "users": [{"user_id": user} | fields for user in (*users, *new_users)],
    }


def _busiest(events: pa.Table, key: str) -> list[str]:
    counted = events.group_by(key).aggregate([([], "count_all")])
    found: list[str] = counted.sort_by([("count_all", "descending"), (key, "ascending")])[key].to_pylist()
    return found[:CHANGED]


def settings_of_copy(raw: Raw, settings: Settings, folder: Path, data_root: Path) -> Settings:
    """Settings that read the copy in a folder, over a data root of their own."""
    mapping = {column: PREFIX + column for column in (*EVENT.values(), *ITEM.values())}
    types = dict.fromkeys(pc.unique(raw.events["event_type"]).to_pylist(), 1.0)
    against = raw.events.filter(pc.less(raw.events["weight"], 0))["event_type"]
    types |= dict.fromkeys(pc.unique(against).to_pylist(), -1.0)
    unset = ("interactions", "items", "users", "encoding", "delimiter", "time_format")
    fixed = {"location": str(folder), "format": "auto", "time_unit": "auto", "time_zone": "UTC"}
    dates = {"item_time": PREFIX + "since", "user_time": PREFIX + "since"}
    source = settings.source.model_copy(
        update=mapping | dict.fromkeys(unset, "") | fixed | dates | {"event_weights": types}
    )
    return settings.model_copy(
        update={
            "data_root": data_root,
            # What is planted is for nobody else.
            "store": settings.store.model_copy(update={"remote": ""}),
            "source": source,
            # Whenever the canary runs, its nights are backfills: the clock makes no difference.
            "time": settings.time.model_copy(update={"mode": "simulated"}),
            "generation": settings.generation.model_copy(update={"record_inputs": True}),
        }
    )
