"""Raw rows of items and users -> the catalogue, and what is known of users."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.forgotten import Forgotten
from feature_store.sections import Source
from jobs.sources.chunk import Refused
from jobs.sources.times import Clock
from jobs.sources.values import TEXTS, prices, text, texts
from jobs.sources.verdicts import Verdicts

NOTHING = ("nan", "none", "null", "n/a")  # what programs write where there is no price
WHERE = "__where__"  # file and line of a row, until repeated rows are taken out
_BY_WHEN = [("when", "ascending"), ("row", "ascending")]
SINCE = "input_max_event_time"  # since when a row holds, null where it has no date


class Since:
    """Reads since when the rows of a file hold."""

    def __init__(self, source: Source, column: str) -> None:
        self.source, self.column = source, column
        self._file, self._clock = "", Clock(source, "")

    def moments(self, rows: Verdicts) -> pa.Array:
        """The moment of each row, null without one; a row with a time that is none is refused."""
        if not self.column:
            return pa.nulls(rows.chunk.rows.num_rows, TIME)
        if rows.file.path != self._file:
            self._file, self._clock = rows.file.path, Clock(self.source, rows.file.path, self.column)
        given = rows.column(self.column)
        found = self._clock.moments(given)
        absent = pc.is_null(text(given))
        rows.refuse(pc.and_not(pc.is_null(found), absent), self._clock.problem, self.column)
        return found


class Items:
    """Maps the chunks of the files of items."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.since = Since(source, source.item_time)
        self.odd_prices = 0
        self.odd_price = ""

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that are read, by the setting that names them."""
        fields = ("item", "title", "description", "categories", "price", "brand", "item_time")
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
                "brand": text(rows.column(source.brand)) if source.brand else none,
                "attributes": attributes(rows, source.item_attributes),
                "listed": pa.repeat(True, len(identity)),
                SINCE: self.since.moments(rows),
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

    def __init__(self, source: Source, forgotten: Forgotten | None = None) -> None:
        self.source, self._forgotten = source, forgotten or Forgotten()
        self.since = Since(source, source.user_time)

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that are read, by the setting that names them."""
        names = {"user_time": self.source.user_time} if self.source.user_time else {}
        names |= {f"user_attributes[{n}]": name for n, name in enumerate(self.source.user_attributes)}
        return {"user": self.source.user} | names

    def map(self, rows: Verdicts) -> pa.Table:
        """One user for each raw row; one without an id is refused."""
        rows.require(**self.columns)
        identity = text(rows.column(self.source.user))
        rows.forget(self._forgotten.among(identity))
        rows.refuse(pc.is_null(identity), f"{self.source.user} is empty")
        known = attributes(rows, self.source.user_attributes)
        since = self.since.moments(rows)
        return pa.table({"user_id": identity, "attributes": known, SINCE: since, WHERE: _where(rows)})


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


def known_before(rows: pa.Table, as_of: datetime | None) -> pa.Table:
    """The rows that hold before a moment; one without a date always does."""
    if as_of is None:
        return rows
    return rows.filter(pc.fill_null(pc.less(rows[SINCE], pa.scalar(as_of, TIME)), True))


def newest_of_each(rows: pa.Table, key: str) -> tuple[pa.Table, list[Refused], int]:
    """The newest row of each key, the last of those since the same moment; the others of that moment,
    refused as repeated; and how many rows were older, which is no fault of theirs.
    """
    # No date is older than any; rows since the same moment stay in their order.
    when = pc.fill_null(rows[SINCE].cast(pa.int64()), -1)
    rows = rows.take(pc.sort_indices(pa.table({"when": when, "row": _numbers(rows)}), sort_keys=_BY_WHEN))
    rows = rows.append_column("row", _numbers(rows))
    kept = rows.group_by(key, use_threads=False).aggregate([("row", "max")])["row_max"].combine_chunks()
    stands = pc.is_in(rows["row"], kept)
    others, single = rows.filter(pc.invert(stands)), rows.filter(stands).drop_columns([WHERE, "row"])
    newest = single[SINCE].take(pc.index_in(others[key], single[key].combine_chunks()))
    never = pa.scalar(-1, pa.int64())
    same = pc.equal(*(pc.fill_null(moments.cast(pa.int64()), never) for moments in (others[SINCE], newest)))
    repeated = others.filter(same)
    return single, _repeated(repeated, key), others.num_rows - repeated.num_rows


def _numbers(rows: pa.Table) -> pa.Array:
    return pa.array(range(rows.num_rows), pa.int64())


def _repeated(rows: pa.Table, key: str) -> list[Refused]:
    shown = [name for name in rows.column_names if name not in (WHERE, SINCE, "row", "listed")]
    texts = (json.dumps(row, ensure_ascii=False) for row in rows.select(shown).to_pylist())
    problem = f"{key} stands again further down; the last row counts"
    return [
        Refused(where, problem, raw, corrupt=False)
        for where, raw in zip(rows[WHERE].to_pylist(), texts, strict=True)
    ]


def with_unlisted(items: pa.Table, ids: pa.Array) -> pa.Table:
    """The catalogue, and a bare row for each of the ids that does not stand in it."""
    absent = ids.filter(pc.invert(pc.is_in(ids, items["item_id"].combine_chunks())))
    bare = {
        "item_id": absent,
        "title": absent,
        "categories": pa.array([[]] * len(absent), TEXTS),
        "attributes": pa.repeat("{}", len(absent)),
        "listed": pa.repeat(False, len(absent)),
    }
    columns = {f.name: bare.get(f.name, pa.nulls(len(absent), f.type)) for f in items.schema}
    return pa.concat_tables([items, pa.table(columns, schema=items.schema)])


def with_unknown(users: pa.Table, ids: pa.Array) -> pa.Table:
    """The users of these ids, each with what is known of it."""
    index = pc.index_in(ids, users["user_id"].combine_chunks())
    known = pc.coalesce(users["attributes"].combine_chunks().take(index), pa.repeat("{}", len(ids)))
    return pa.table(
        {"user_id": ids, "attributes": known, SINCE: users[SINCE].combine_chunks().take(index)}, users.schema
    )
