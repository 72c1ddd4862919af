"""Raw rows of items and users -> the catalogue, and what is known of users."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.sections import Source
from jobs.sources.chunk import Refused
from jobs.sources.values import TEXTS, prices, text, texts
from jobs.sources.verdicts import Verdicts

NOTHING = ("nan", "none", "null", "n/a")  # what programs write where there is no price
WHERE = "__where__"  # file and line of a row, until repeated rows are taken out


class Items:
    """Maps the chunks of the files of items."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.odd_prices = 0
        self.odd_price = ""

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that are read, by the setting that names them."""
        fields = ("item", "title", "description", "categories", "price")
        names = {field: getattr(self.source, field) for field in fields}
        names |= {f"item_attributes[{n}]": name for n, name in enumerate(self.source.item_attributes)}
        return {setting: name for setting, name in names.items() if name}

    def map(self, rows: Verdicts) -> pa.Table:
        """One item for each raw row; one without an id is refused."""
        source = self.source
        rows.require(**self.columns)
        identity = text(rows.column(source.item))
        rows.refuse(pc.is_null(identity), f"{source.item} is empty")
        none = pa.nulls(len(identity), pa.string())
        return pa.table(
            {
                "item_id": identity,
                "title": pc.coalesce(text(rows.column(source.title)) if source.title else none, identity),
                "description": text(rows.column(source.description)) if source.description else none,
                "categories": texts(rows.column(source.categories), source.categories_separator)
                if source.categories
                else pa.array([[]] * len(identity), TEXTS),
                "price": self._prices(rows),
                "attributes": attributes(rows, source.item_attributes),
                WHERE: _where(rows),
            }
        )

    def _prices(self, rows: Verdicts) -> pa.Array:
        """Prices; what is no price, or a negative one, is left empty and counted."""
        if not self.source.price:
            return pa.nulls(rows.chunk.rows.num_rows, pa.float64())
        column = rows.column(self.source.price)
        found = prices(column)
        found = pc.if_else(pc.less(found, 0), None, found)
        given = text(column)
        odd = pc.and_(pc.and_(pc.is_null(found), pc.is_valid(given)), rows.stands)
        odd = pc.and_not(odd, pc.fill_null(pc.is_in(pc.utf8_lower(given), pa.array(NOTHING)), False))
        if count := pc.sum(odd).as_py():
            self.odd_price = (
                self.odd_price or f"{given.filter(odd)[0].as_py()[:40]!r} in {_where(rows).filter(odd)[0]}"
            )
            self.odd_prices += count
        return found

    def notes(self) -> list[str]:
        """What a person should know of the catalogue as it was read."""
        if not self.odd_prices:
            return []
        return [f"warning: {self.odd_prices:,} prices are none and were left empty, such as {self.odd_price}"]


class Users:
    """Maps the chunks of the files of users; only the permitted columns are read."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that are read, by the setting that names them."""
        names = {f"user_attributes[{n}]": name for n, name in enumerate(self.source.user_attributes)}
        return {"user": self.source.user} | names

    def map(self, rows: Verdicts) -> pa.Table:
        """One user for each raw row; one without an id is refused."""
        rows.require(**self.columns)
        identity = text(rows.column(self.source.user))
        rows.refuse(pc.is_null(identity), f"{self.source.user} is empty")
        known = attributes(rows, self.source.user_attributes)
        return pa.table({"user_id": identity, "attributes": known, WHERE: _where(rows)})


def attributes(rows: Verdicts, names: tuple[str, ...]) -> pa.Array:
    """The named columns of every row as a JSON object of texts, empty ones left out."""
    count = rows.chunk.rows.num_rows
    if not names:
        return pa.repeat("{}", count)
    columns = [text(rows.column(name), joined_by=", ").to_pylist() for name in names]
    found = (
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    )
    return pa.array([json.dumps(row, ensure_ascii=False, sort_keys=True) for row in found], pa.string())


def _where(rows: Verdicts) -> pa.Array:
    lines = rows.chunk.lines.cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(rows.file.name), lines, ":")


def last_of_each(rows: pa.Table, key: str) -> tuple[pa.Table, list[Refused]]:
    """The last row of each key, and the others, refused as repeated."""
    numbered = pa.table({"key": rows[key], "row": pa.array(range(rows.num_rows), pa.int64())})
    last = numbered.group_by("key", use_threads=False).aggregate([("row", "max")])["row_max"]
    stands = pc.is_in(numbered["row"], last.combine_chunks())
    repeated = rows.filter(pc.invert(stands)).to_pylist()
    problem = f"{key} stands again further down; the last row counts"
    refused = [
        Refused(row.pop(WHERE), problem, json.dumps(row, ensure_ascii=False), corrupt=False)
        for row in repeated
    ]
    return rows.filter(stands).drop_columns([WHERE]), refused


def with_unlisted(items: pa.Table, listed: pa.Array) -> pa.Table:
    """The catalogue, and a bare row for each item that has events but does not stand in it."""
    absent = listed.filter(pc.invert(pc.is_in(listed, items["item_id"].combine_chunks())))
    bare = {
        "item_id": absent,
        "title": absent,
        "description": pa.nulls(len(absent), pa.string()),
        "categories": pa.array([[]] * len(absent), TEXTS),
        "price": pa.nulls(len(absent), pa.float64()),
        "attributes": pa.repeat("{}", len(absent)),
    }
    return pa.concat_tables([items, pa.table(bare, schema=items.schema)])


def of_users(known: pa.Table | None, users: pa.Array) -> pa.Table:
    """The users who have events, each with what is known of it."""
    none = pa.repeat("{}", len(users))
    if known is None:
        return pa.table({"user_id": users, "attributes": none})
    index = pc.index_in(users, known["user_id"].combine_chunks())
    return pa.table(
        {"user_id": users, "attributes": pc.coalesce(known["attributes"].combine_chunks().take(index), none)}
    )
