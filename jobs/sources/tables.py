"""A source, read: interactions, items and users as tables, and an account of every row left out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.errors import NightmillError
from feature_store.forgotten import Forgotten
from feature_store.remote import open_store
from feature_store.sections import Source
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.sources import formats, places
from jobs.sources.catalogue import (
    SINCE,
    Items,
    Users,
    known_before,
    newest_of_each,
)
from jobs.sources.chunk import Chunk, Reader, Refused, Wanted
from jobs.sources.events import KEY, Events, once
from jobs.sources.places import File
from jobs.sources.verdicts import Verdicts

EXAMPLES = 3  # refused rows an error names
EVENT = pa.schema(
    [TABLES["interactions"].schema.field(name).with_nullable(True) for name in (*KEY, "weight")]
)
USER = pa.schema([("user_id", pa.string()), ("attributes", pa.string()), (SINCE, TIME)])
# So many refused rows are judged before the whole of a source was read.
MANY_REFUSED = 100_000


class Mapper(Protocol):
    """What makes rows of a table of raw rows."""

    @property
    def columns(self) -> Mapping[str, str]: ...
    def map(self, rows: Verdicts) -> pa.Table: ...


@dataclass
class Account:
    """What became of the raw rows of one role: read = kept + refused + left_out + merged + forgotten."""

    role: str
    read: int = 0
    kept: int = 0
    left_out: int = 0
    merged: int = 0
    forgotten: int = 0
    refused: list[Refused] = field(default_factory=list)

    def check(self, source: Source) -> None:
        """NightmillError when too many rows were refused; it names the first."""
        corrupt = [row for row in self.refused if row.corrupt]
        asked = self.read - self.left_out - self.forgotten
        if len(corrupt) <= source.max_refused_share * asked:
            return
        first = "; ".join(f"{row.where} {row.problem}" for row in corrupt[:EXAMPLES])
        raise NightmillError(
            f"{len(corrupt):,} of {asked:,} rows of {self.role} cannot be used, more than "
            f"source.max_refused_share = {source.max_refused_share:g} of them: {first}; "
            "correct the files or the mapping in [source]"
        )


@dataclass
class Raw:
    """A source, read as of a moment: tables in the columns of the contracts (without provenance).

    events: all before as_of in the files that were read. items and users: what the source says of them, which
    may be nothing of some that have events; with SINCE. days: of each file of interactions that was read, by
    its path, the days of all its events. accounts: by role. notes: what a person should know.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table
    days: dict[str, list[date]]
    accounts: dict[str, Account]
    notes: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[Refused]:
        """Every raw row that cannot be used."""
        return [row for account in self.accounts.values() for row in account.refused]


def read(settings: Settings, as_of: datetime | None = None, skip: Collection[str] = ()) -> Raw:
    """Read a source through the mapping in the settings, as it was at as_of (None: all of it).

    Users who were forgotten in the data root are not in it, and no row that is refused is theirs.
    skip: paths of files of interactions that need not be read. NightmillError or SettingsError says which
    file, row or setting is wrong, and what to do about it.
    """
    source = settings.source
    form = formats.find(source.format)
    files = places.find(settings, form.patterns)
    accounts = {role: Account(role) for role in files}
    forgotten = Forgotten.read(open_store(settings))
    mapping, catalogue = Events(source, forgotten), Items(source)
    wanted = [file for file in files["interactions"] if file.path not in skip]
    parts = _parts(wanted, form.readers["interactions"], mapping, source, accounts["interactions"])
    days = {path: _days(rows) for path, rows in parts.items()}
    events = pa.concat_tables([EVENT.empty_table(), *parts.values()])
    mapping.require_some(events)
    events = _before(events, as_of, accounts["interactions"])
    single = once(events)
    accounts["interactions"].merged = events.num_rows - single.num_rows
    accounts["interactions"].kept = single.num_rows
    reader = form.readers["items"]
    items = _listed(files["items"], reader, catalogue, source, accounts["items"], "item_id", as_of)
    known = USER.empty_table()
    if "users" in files and source.user_attributes:
        reader, account = form.readers["users"], accounts["users"]
        known = _listed(files["users"], reader, Users(source, forgotten), source, account, "user_id", as_of)
    return Raw(
        _contract("interactions", single),
        _contract("items", items),
        _contract("users", known),
        days,
        accounts,
        catalogue.notes(),
    )


def _days(events: pa.Table) -> list[date]:
    return sorted(pc.unique(pc.cast(events["event_time"], pa.date32())).to_pylist())


def _before(events: pa.Table, as_of: datetime | None, account: Account) -> pa.Table:
    """The events before a moment; the others are left out."""
    if as_of is None:
        return events
    kept = events.filter(pc.less(events["event_time"], pa.scalar(as_of, TIME)))
    account.left_out += events.num_rows - kept.num_rows
    return kept


def _parts(
    files: list[File], reader: Reader, mapping: Mapper, source: Source, account: Account
) -> dict[str, pa.Table]:
    """The rows of a role that can be used, by file."""
    names = tuple(dict.fromkeys(mapping.columns.values()))
    events = frozenset(kind for kind, weight in source.event_weights.items() if weight)
    wanted = Wanted(names, source.encoding, source.delimiter, events, private=account.role != "items")
    parts = {file.path: _rows(file, reader(file, wanted), mapping, source, account) for file in files}
    if files and not account.read:
        raise NightmillError(f"there is no row of {account.role}: {places.describe(files)} is empty")
    account.check(source)
    return {path: rows for path, rows in parts.items() if rows is not None}


def _rows(
    file: File, chunks: Iterable[Chunk], mapping: Mapper, source: Source, account: Account
) -> pa.Table | None:
    """The rows of a file that can be used; None for one without a byte."""
    found = []
    for chunk in chunks:
        verdicts = Verdicts(file, chunk)
        try:
            found.append(verdicts.standing(mapping.map(verdicts)))
        except pa.ArrowInvalid as error:
            raise NightmillError(f"cannot read {file.path}: {str(error).splitlines()[0]}") from None
        account.read += chunk.rows.num_rows + len(chunk.refused) + chunk.left_out
        account.refused += verdicts.refused
        account.left_out += verdicts.left_out
        account.forgotten += verdicts.forgotten
        if len(account.refused) > MANY_REFUSED:
            account.check(source)
    return pa.concat_tables(found) if found else None


def _listed(
    files: list[File],
    reader: Reader,
    mapping: Mapper,
    source: Source,
    account: Account,
    key: str,
    as_of: datetime | None,
) -> pa.Table:
    """The rows of a role of which each key has one, as of a moment."""
    every = pa.concat_tables(_parts(files, reader, mapping, source, account).values())
    known = known_before(every, as_of)
    rows, repeated, older = newest_of_each(known, key)
    account.left_out += every.num_rows - known.num_rows
    account.merged += older
    account.refused += repeated
    account.kept = rows.num_rows
    return rows


def _contract(table: str, rows: pa.Table) -> pa.Table:
    """The columns a source gives of a table, in the types of its contract; of items and users also SINCE."""
    schema = TABLES[table].schema
    names = [name for name in schema.names if name in rows.column_names]
    return rows.select(names).cast(pa.schema([schema.field(name) for name in names]))
