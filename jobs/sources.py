"""Readers of raw data: the rows that can be used, and those that cannot with their file and line.

A source is a folder of Parquet files (interactions, items and, where there are any, users) or of RecBole's
atomic files (.inter, .item, .user: tab-separated text with a `name:type` header).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError, SettingsError
from feature_store.sections import Source
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.source_files import files

# Seconds since 1970 outside these are not times of any recommender's events (1973 to 2100).
FIRST_SECOND, LAST_SECOND = 1e8, 4.1e9
LINE = "__line__"


@dataclass(frozen=True)
class Refused:
    """One raw row that cannot be used: where it stands, what is wrong with it, and its text."""

    where: str
    problem: str
    raw: str


@dataclass
class Raw:
    """A source, read: tables in the columns of the contracts (without provenance)."""

    events: pa.Table
    items: pa.Table
    users: pa.Table
    refused: list[Refused] = field(default_factory=list)


def read(settings: Settings) -> Raw:
    """Read a source through the mapping in the settings."""
    source, paths = settings.source, files(settings)
    raw = {role: _File(path) for role, path in paths.items()}
    events, items = _events(raw["interactions"], source), _items(raw["items"], source)
    users = pd.DataFrame({"user_id": events["user_id"].unique(), "attributes": "{}"})
    if "users" in raw:
        attributes = _user_attributes(raw["users"], source)
        users["attributes"] = users["user_id"].map(attributes).fillna("{}")
    items = pd.concat([items, _unlisted(events, items)], ignore_index=True)
    refused = [row for file in raw.values() for row in file.refused]
    return Raw(_arrow("interactions", events), _arrow("items", items), _arrow("users", users), refused)


def _arrow(table: str, frame: pd.DataFrame) -> pa.Table:
    contract = TABLES[table]
    schema = pa.schema([contract.schema.field(column.name) for column in contract.columns])
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)


class _File:
    """One raw file: the rows still standing, and those refused so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[Refused] = []
        try:
            self.rows = self._parquet() if path.suffix == ".parquet" else self._atomic()
        except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise NightmillError(f"cannot read {path}: {str(error).splitlines()[0]}") from None

    def _parquet(self) -> pd.DataFrame:
        frame: pd.DataFrame = pq.read_table(self.path).to_pandas()
        return frame.assign(**{LINE: range(1, len(frame) + 1)})

    def _atomic(self) -> pd.DataFrame:
        """Read a RecBole atomic file; a line with the wrong number of fields is refused."""
        lines = self.path.read_text("utf-8").split("\n")
        names = [cell.split(":")[0] for cell in lines[0].rstrip("\r").split("\t")]
        rows = []
        for number, line in enumerate(lines[1:], start=2):
            cells = line.rstrip("\r").split("\t")
            if len(cells) == len(names):
                rows.append([*cells, number])
            elif line.strip():
                problem = f"{len(cells)} fields, not {len(names)}"
                self.refused.append(Refused(f"{self.path.name}:{number}", problem, line))
        return pd.DataFrame(rows, columns=[*names, LINE])

    def require(self, **columns: str) -> None:
        """Refuse a mapping that names a column the file does not have; keys are the settings' names."""
        for setting, name in columns.items():
            if name and name not in self.rows.columns:
                has = ", ".join(column for column in self.rows.columns if column != LINE)
                raise SettingsError(
                    f"source.{setting} = {name!r} is not a column of {self.path}; it has {has}"
                )

    def refuse(self, bad: "pd.Series[bool]", problem: str) -> None:
        """Take rows out, each with its line and the problem."""
        for row in self.rows[bad].to_dict("records"):
            line = row.pop(LINE)
            text = json.dumps(row, default=str, ensure_ascii=False)
            self.refused.append(Refused(f"{self.path.name}:{line}", problem, text))
        self.rows = self.rows[~bad]

    def text(self, column: str) -> "pd.Series[str]":
        """A column as trimmed text, null where it is empty."""
        trimmed = self.rows[column].astype("string").str.strip()
        return trimmed.mask(trimmed == "")

    def number(self, column: str) -> "pd.Series[float]":
        """A column as numbers, null where it is none."""
        return pd.to_numeric(self.rows[column], errors="coerce").astype(float)

    def attributes(self, names: tuple[str, ...]) -> list[str]:
        """The named columns of every row as a JSON object of texts, empty ones left out."""
        records = self.rows[list(names)].to_dict("records") if names else [{}] * len(self.rows)
        kept = ({str(k): str(v) for k, v in row.items() if pd.notna(v) and str(v).strip()} for row in records)
        return [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in kept]


def _events(file: _File, source: Source) -> pd.DataFrame:
    columns = {name: getattr(source, name) for name in ("user", "item", "time", "event", "value")}
    file.require(**columns)
    if source.event and source.keep_events:
        file.rows = file.rows[file.rows[source.event].isin(source.keep_events)]
    for name in (source.user, source.item):
        file.refuse(file.text(name).isna(), f"{name} is empty")
    problem = f"{source.time} is not a time (a timestamp, or seconds since 1970)"
    file.refuse(_moments(file.rows[source.time]).isna(), problem)
    if source.value:
        file.refuse(file.number(source.value).isna(), f"{source.value} is not a number")
    events = pd.DataFrame(
        {
            "user_id": file.text(source.user),
            "item_id": file.text(source.item),
            "event_time": _moments(file.rows[source.time]),
            "event_type": file.text(source.event) if source.event else "event",
            "weight": file.number(source.value) if source.value else 1.0,
        }
    )
    # The same thing at the same moment is one event; of several weights the largest is kept.
    key = ["user_id", "item_id", "event_time", "event_type"]
    return events.groupby(key, as_index=False, sort=True).agg({"weight": "max"})


def _moments(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Times as UTC; numbers are seconds since 1970. What is no time, or an impossible one, is null."""
    seconds = pd.to_numeric(column, errors="coerce") if not _is_time(column) else pd.Series(dtype=float)
    if seconds.notna().any():
        moments = pd.to_datetime(
            seconds.where(seconds.between(FIRST_SECOND, LAST_SECOND)), unit="s", utc=True
        )
    else:
        moments = pd.to_datetime(column, utc=True, errors="coerce")
    return moments.astype("datetime64[us, UTC]")


def _is_time(column: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _items(file: _File, source: Source) -> pd.DataFrame:
    names = ("item", "title", "description", "categories", "price")
    file.require(**{name: getattr(source, name) for name in names})
    file.require(**{f"item_attributes[{n}]": name for n, name in enumerate(source.item_attributes)})
    file.refuse(file.text(source.item).isna(), f"{source.item} is empty")
    repeated = file.text(source.item).duplicated(keep="last")
    file.refuse(repeated, f"{source.item} stands again further down; the last row counts")
    identity = file.text(source.item)
    return pd.DataFrame(
        {
            "item_id": identity,
            "title": file.text(source.title).fillna(identity) if source.title else identity,
            "description": file.text(source.description) if source.description else None,
            "categories": _categories(file, source),
            "price": file.number(source.price) if source.price else None,
            "attributes": file.attributes(source.item_attributes),
        }
    )


def _categories(file: _File, source: Source) -> list[list[str]]:
    if not source.categories:
        return [[] for _ in range(len(file.rows))]
    texts = file.text(source.categories).fillna("")
    return [[part.strip() for part in t.split(source.categories_separator) if part.strip()] for t in texts]


def _unlisted(events: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Bare rows for items that have events but do not stand in the catalogue."""
    known = set(items["item_id"])
    names = [item for item in events["item_id"].unique() if item not in known]
    rows = [
        {"item_id": n, "title": n, "description": None, "categories": [], "price": None, "attributes": "{}"}
        for n in names
    ]
    return pd.DataFrame(rows, columns=items.columns)


def _user_attributes(file: _File, source: Source) -> dict[str, str]:
    file.require(user=source.user)
    file.require(**{f"user_attributes[{n}]": name for n, name in enumerate(source.user_attributes)})
    return dict(zip(file.text(source.user), file.attributes(source.user_attributes), strict=True))
