"""The [source] settings of a folder that nobody has written a profile for, read off its columns and values.

Names decide first, without regard to case and punctuation (`UserID` is `user_id`), in the order given here.
Values decide what a name cannot say: whether a column is empty, what parts categories, which types of event
speak against an item. Nothing here knows a data set.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.errors import NightmillError

USER = ("user_id", "user", "uid", "customer_id", "customer", "visitor_id", "reviewer_id", "member_id")
ITEM = (
    *("item_id", "item", "iid", "product_id", "product", "movie_id", "book_id", "article_id", "news_id"),
    *("track_id", "parent_asin", "asin", "sku", "stock_code"),
)
TIME = ("timestamp", "event_time", "time", "datetime", "date_time", "date", "created_at", "ts", "unix_time")
EVENT = ("event", "event_type", "action", "behavior", "behaviour", "interaction_type", "type")
# A quantity is no strength of interest: a wholesaler's thousand cups are one wish.
VALUE = ("rating", "weight", "score", "stars", "overall")
TEXTS: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "item_name", "item_title", "product_name", "product_title", "movie_title"),
    "description": ("description", "desc", "overview", "plot", "summary", "abstract", "text"),
    "categories": (
        "categories",
        "category",
        "genres",
        "genre",
        "class",
        "tags",
        "main_category",
        "department",
    ),
    "price": ("price", "item_price", "list_price", "unit_price"),
    "brand": ("brand", "brand_name", "manufacturer", "vendor", "store"),
}
# Words in a type of event that speaks against the item, or is none of the user's doing.
AGAINST = re.compile(r"return|refund|cancel|dislike|remove|delete|skip|impression|unsubscribe|downvote", re.I)
MOST_TYPES = 50
SEPARATORS = ("|", ";", ",", ">", "/")
# A column counts with at most this share of empty values, a separator where it parts so many of the values.
EMPTY_SHARE, PARTED_SHARE = 0.05, 0.1
# Public sets have many events without a user; with more unusable rows than this the mapping must be wrong.
UNUSABLE = 0.5


@dataclass(frozen=True)
class Detected:
    """What was found: settings of the section [source], and what a person should know of it."""

    source: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def detect(folder: Path, scratch: Path) -> Detected:
    """The mapping of a folder with interactions.parquet and items.parquet.

    scratch: an empty folder, for a copy of the items where their id has another name there. NightmillError
    names the file and the column that is missing, and what the file has.
    """
    events, items = (_table(folder / f"{name}.parquet") for name in ("interactions", "items"))
    source: dict[str, Any] = {"location": str(folder.resolve()), "format": "auto", "user_attributes": []}
    source |= {"item_attributes": [], "item_time": "", "user_time": "", "max_refused_share": UNUSABLE}
    for what, names in (("user", USER), ("item", ITEM), ("time", TIME)):
        source[what] = _required(events, names, folder / "interactions.parquet", what)
    source |= _strength(events, taken=tuple(source[name] for name in ("user", "item", "time")))
    key = _required(items, (source["item"], *ITEM, "id"), folder / "items.parquet", "item")
    if key != source["item"]:
        renamed = [source["item"] if name == key else name for name in items.column_names]
        pq.write_table(items.rename_columns(renamed), scratch / "items.parquet")
        source["items"] = str(scratch / "items.parquet")
    source |= {setting: _named(items, names) for setting, names in TEXTS.items()}
    source["categories_separator"] = _separator(items, source["categories"])
    absent = [setting for setting in TEXTS if not source[setting]]
    notes = [f"items have no {', '.join(absent)}"] if absent else []
    if left_out := source.pop("left_out"):
        notes.append(f"events of type {', '.join(left_out)} are left out")
    return Detected(source, notes)


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise NightmillError(
            f"there is no {path}; a folder needs interactions.parquet and items.parquet"
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise NightmillError(f"cannot read {path}: {str(error).splitlines()[0]}") from None


def _required(rows: pa.Table, names: Sequence[str], path: Path, what: str) -> str:
    if found := _named(rows, names):
        return found
    usual = list(dict.fromkeys(names))[:3]
    raise NightmillError(
        f"{path} has no column with the {what} (such as {', '.join(usual)}), or nothing is in it; "
        f"it has {', '.join(rows.column_names)}: rename one"
    )


def _named(rows: pa.Table, names: Sequence[str]) -> str:
    """The column with the first of some names that is not empty throughout, "" without one."""
    plain = {_plain(name): name for name in reversed(rows.column_names)}
    columns = (plain[_plain(name)] for name in names if _plain(name) in plain)
    return next((name for name in columns if rows[name].null_count < rows.num_rows), "")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _strength(events: pa.Table, taken: Sequence[str]) -> dict[str, Any]:
    """Which columns say of what type an event is and how strong; types against an item are left out."""
    rest = events.drop_columns([name for name in taken if name in events.column_names])
    found: dict[str, Any] = {"event": "", "event_weights": {}, "value": "", "left_out": []}
    value = _named(rest, VALUE)
    if value and _is_strength(rest[value]):
        found["value"] = value
    event = _named(rest, EVENT)
    if not event or rest[event].null_count > EMPTY_SHARE * len(rest):
        return found
    types = sorted(str(kind) for kind in pc.unique(rest[event]).to_pylist() if kind is not None)
    wanted = [kind for kind in types if not AGAINST.search(kind)]
    if wanted and len(types) <= MOST_TYPES:
        found |= {"event": event, "left_out": [kind for kind in types if kind not in wanted]}
        found["event_weights"] = dict.fromkeys(wanted, 1.0)
    return found


def _is_strength(column: pa.ChunkedArray) -> bool:
    """Whether a column holds numbers, next to none empty and none negative."""
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if not numeric or column.null_count > EMPTY_SHARE * len(column):
        return False
    return bool(pc.min(column).as_py() >= 0)


def _separator(items: pa.Table, column: str) -> str:
    """What parts a text of several categories; "|" where nothing does, or they are lists."""
    texts = items[column].combine_chunks().drop_null() if column else pa.array([], pa.string())
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)) or not len(texts):
        return "|"
    shares = {mark: pc.mean(pc.match_substring(texts, mark).cast(pa.int64())).as_py() for mark in SEPARATORS}
    return next((mark for mark, share in shares.items() if share >= PARTED_SHARE), "|")
