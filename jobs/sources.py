"""Readers of raw data: the rows that can be used, and those that cannot with their file and line.

A source is a folder of Parquet files (interactions, items and, where there are any, users) or of RecBole's
atomic files (.inter, .item, .user: tab-separated text with a `name:type` header).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError, SettingsError
from feature_store.sections import Source
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.assets import DATASETS, resolve_dataset

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


def folder(settings: Settings) -> Path:
    """The folder with the raw files; a built-in data set is prepared on first use."""
    location = settings.source.location
    path = resolve_dataset(location, settings) if location in DATASETS else Path(location).expanduser()
    if not path.is_dir():
        known = ", ".join(sorted(DATASETS))
        raise NightmillError(
            f"source {path} is not a folder: set source.location to one, or to a built-in set ({known})"
        )
    return path


def files(settings: Settings) -> dict[str, Path]:
    """The raw files by role: interactions and items always, users where the source has them."""
    where = folder(settings)
    found: dict[str, Path] = {}
    for role, suffix in (("interactions", ".inter"), ("items", ".item"), ("users", ".user")):
        candidates = [where / f"{role}.parquet", *sorted(where.glob(f"*{suffix}"))]
        existing = [path for path in candidates if path.exists()]
        if existing:
            found[role] = existing[0]
        elif role != "users":
            raise NightmillError(f"source {where} has neither {role}.parquet nor a *{suffix} file")
    return found


def read(settings: Settings) -> Raw:
    """Read a source through the mapping in the settings."""
    source, paths = settings.source, files(settings)
    refused: list[Refused] = []
    events = _events(_frame(paths["interactions"], refused), paths["interactions"], source, refused)
    items = _items(_frame(paths["items"], refused), paths["items"], source, refused)
    users = pd.DataFrame({"user_id": events["user_id"].unique(), "attributes": "{}"})
    if "users" in paths:
        users = _users(_frame(paths["users"], refused), paths["users"], source, users)
    unknown = ~events["item_id"].isin(items["item_id"])
    if unknown.any():
        bare = pd.DataFrame({"item_id": events.loc[unknown, "item_id"].unique()})
        bare = bare.assign(title=bare["item_id"], description=None, categories=[[]] * len(bare), price=None)
        items = pd.concat([items, bare.assign(attributes="{}")], ignore_index=True)
    return Raw(_arrow("interactions", events), _arrow("items", items), _arrow("users", users), refused)


def _arrow(table: str, frame: pd.DataFrame) -> pa.Table:
    contract = TABLES[table]
    schema = pa.schema([contract.schema.field(column.name) for column in contract.columns])
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)


def _frame(path: Path, refused: list[Refused]) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            frame = pq.read_table(path).to_pandas()
            return frame.assign(**{LINE: range(1, len(frame) + 1)})
        return _atomic(path, refused)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise NightmillError(f"cannot read {path}: {str(error).splitlines()[0]}") from None


def _atomic(path: Path, refused: list[Refused]) -> pd.DataFrame:
    """Read one RecBole atomic file; a line with the wrong number of fields is refused."""
    lines = path.read_text("utf-8").split("\n")
    names = [cell.split(":")[0] for cell in lines[0].rstrip("\r").split("\t")]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.rstrip("\r").split("\t")
        if len(cells) == len(names):
            rows.append([*cells, number])
        elif line.strip():
            refused.append(Refused(f"{path.name}:{number}", f"{len(cells)} fields, not {len(names)}", line))
    return pd.DataFrame(rows, columns=[*names, LINE])


def _require(frame: pd.DataFrame, path: Path, **columns: str) -> None:
    for setting, name in columns.items():
        if name and name not in frame.columns:
            has = ", ".join(c for c in frame.columns if c != LINE)
            raise SettingsError(f"source.{setting} = {name!r} is not a column of {path}; it has {has}")


def _refuse(
    frame: pd.DataFrame, path: Path, bad: pd.Series, problem: str, refused: list[Refused]
) -> pd.DataFrame:
    for row in frame[bad].to_dict("records"):
        line = row.pop(LINE)
        refused.append(
            Refused(f"{path.name}:{line}", problem, json.dumps(row, default=str, ensure_ascii=False))
        )
    return frame[~bad]


def _text(column: pd.Series) -> pd.Series:
    return column.astype("string").str.strip().replace("", pd.NA)


def _events(frame: pd.DataFrame, path: Path, source: Source, refused: list[Refused]) -> pd.DataFrame:
    _require(
        frame,
        path,
        user=source.user,
        item=source.item,
        time=source.time,
        event=source.event,
        value=source.value,
    )
    for name in (source.user, source.item):
        frame = _refuse(frame, path, _text(frame[name]).isna(), f"{name} is empty", refused)
    if source.event and source.keep_events:
        frame = frame[frame[source.event].isin(source.keep_events)]
    moment = _moments(frame[source.time])
    frame = _refuse(
        frame,
        path,
        moment.isna(),
        f"{source.time} is not a time (seconds since 1970, or a timestamp)",
        refused,
    )
    weight = (
        pd.to_numeric(frame[source.value], errors="coerce") if source.value else pd.Series(1.0, frame.index)
    )
    frame = _refuse(frame, path, weight.isna(), f"{source.value} is not a number", refused)
    events = pd.DataFrame(
        {
            "user_id": _text(frame[source.user]),
            "item_id": _text(frame[source.item]),
            "event_time": moment[frame.index],
            "event_type": _text(frame[source.event]) if source.event else "event",
            "weight": weight[frame.index].astype(float),
        }
    )
    # The same thing at the same moment is one event; of several weights the largest is kept.
    key = ["user_id", "item_id", "event_time", "event_type"]
    return events.groupby(key, as_index=False, sort=True)["weight"].max()


def _moments(column: pd.Series) -> pd.Series:
    """Times as UTC; numbers are seconds since 1970. What is no time, or an impossible one, is null."""
    if pd.api.types.is_datetime64_any_dtype(column):
        moments = pd.to_datetime(column, utc=True)
    else:
        seconds = pd.to_numeric(column, errors="coerce")
        if seconds.notna().any():
            seconds = seconds.where(seconds.between(FIRST_SECOND, LAST_SECOND))
            moments = pd.to_datetime(seconds, unit="s", utc=True)
        else:
            moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    return moments.astype("datetime64[us, UTC]")


def _items(frame: pd.DataFrame, path: Path, source: Source, refused: list[Refused]) -> pd.DataFrame:
    _require(frame, path, item=source.item, title=source.title, description=source.description)
    _require(frame, path, categories=source.categories, price=source.price)
    _require(frame, path, **{f"item_attributes[{n}]": name for n, name in enumerate(source.item_attributes)})
    frame = _refuse(frame, path, _text(frame[source.item]).isna(), f"{source.item} is empty", refused)
    repeated = _text(frame[source.item]).duplicated(keep="last")
    frame = _refuse(
        frame, path, repeated, f"{source.item} stands again further down; the last row counts", refused
    )
    identity = _text(frame[source.item])
    return pd.DataFrame(
        {
            "item_id": identity,
            "title": _text(frame[source.title]).fillna(identity),
            "description": _text(frame[source.description]) if source.description else None,
            "categories": _categories(frame, source),
            "price": pd.to_numeric(frame[source.price], errors="coerce") if source.price else None,
            "attributes": _attributes(frame, source.item_attributes),
        }
    )


def _categories(frame: pd.DataFrame, source: Source) -> pd.Series:
    if not source.categories:
        return pd.Series([[] for _ in range(len(frame))], frame.index, dtype=object)
    separator = source.categories_separator
    return frame[source.categories].map(
        lambda value: (
            [part.strip() for part in str(value).split(separator) if part.strip()] if pd.notna(value) else []
        )
    )


def _attributes(frame: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    records = frame[list(names)].to_dict("records") if names else [{}] * len(frame)
    kept = ({k: str(v) for k, v in row.items() if pd.notna(v) and str(v).strip()} for row in records)
    return [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in kept]


def _users(frame: pd.DataFrame, path: Path, source: Source, known: pd.DataFrame) -> pd.DataFrame:
    _require(frame, path, user=source.user)
    _require(frame, path, **{f"user_attributes[{n}]": name for n, name in enumerate(source.user_attributes)})
    attributes = dict(zip(_text(frame[source.user]), _attributes(frame, source.user_attributes), strict=True))
    return known.assign(attributes=known["user_id"].map(attributes).fillna("{}"))
