"""A source, read: interactions, items and users as tables, and an account of every row left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import NightmillError
from feature_store.sections import Source
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.sources import formats, places
from jobs.sources.catalogue import Items, Users, last_of_each, of_users, with_unlisted
from jobs.sources.chunk import Reader, Refused, Wanted
from jobs.sources.events import Events, once
from jobs.sources.places import File
from jobs.sources.verdicts import Verdicts

EXAMPLES = 3  # refused rows an error names
# So many refused rows are judged before the whole of a source was read.
MANY_REFUSED = 100_000


class Mapper(Protocol):
    """What makes rows of a table of raw rows."""

    @property
    def columns(self) -> Mapping[str, str]: ...
    def map(self, rows: Verdicts) -> pa.Table: ...


@dataclass
class Account:
    """What became of the raw rows of one role: read = kept + refused + left_out + merged."""

    role: str
    read: int = 0
    kept: int = 0
    left_out: int = 0
    merged: int = 0
    refused: list[Refused] = field(default_factory=list)

    def check(self, source: Source) -> None:
        """NightmillError when too many rows were refused; it names the first."""
        corrupt = [row for row in self.refused if row.corrupt]
        asked = self.read - self.left_out
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
    """A source, read: tables in the columns of the contracts (without provenance).

    accounts: by role. notes: what a person should know.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table
    accounts: dict[str, Account]
    notes: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[Refused]:
        """Every raw row that cannot be used."""
        return [row for account in self.accounts.values() for row in account.refused]


def read(settings: Settings) -> Raw:
    """Read a source through the mapping in the settings.

    NightmillError or SettingsError says which file, row or setting is wrong, and what to do about it.
    """
    source = settings.source
    form = formats.find(source.format)
    files = places.find(settings, form.patterns)
    accounts = {role: Account(role) for role in files}
    mapping, catalogue = Events(source), Items(source)
    events = _rows(
        files["interactions"], form.readers["interactions"], mapping, source, accounts["interactions"]
    )
    mapping.require_some(events)
    single = once(events)
    accounts["interactions"].merged = events.num_rows - single.num_rows
    accounts["interactions"].kept = single.num_rows
    items = _listed(files["items"], form.readers["items"], catalogue, source, accounts["items"], "item_id")
    known = None
    if "users" in files and source.user_attributes:
        known = _listed(
            files["users"], form.readers["users"], Users(source), source, accounts["users"], "user_id"
        )
    return Raw(
        _contract("interactions", single),
        _contract("items", with_unlisted(items, pc.unique(single["item_id"]))),
        _contract("users", of_users(known, pc.unique(single["user_id"]))),
        accounts,
        catalogue.notes(),
    )


def _rows(files: list[File], reader: Reader, mapping: Mapper, source: Source, account: Account) -> pa.Table:
    """The rows of a role that can be used, out of all its files."""
    private = account.role != "items"
    events = frozenset(kind for kind, weight in source.event_weights.items() if weight)
    names = tuple(dict.fromkeys(mapping.columns.values()))
    wanted = Wanted(names, source.encoding, source.delimiter, events, private)
    parts = []
    for file in files:
        for chunk in reader(file, wanted):
            verdicts = Verdicts(file, chunk)
            try:
                parts.append(verdicts.standing(mapping.map(verdicts)))
            except pa.ArrowInvalid as error:
                raise NightmillError(f"cannot read {file.path}: {str(error).splitlines()[0]}") from None
            account.read += chunk.rows.num_rows + len(chunk.refused) + chunk.left_out
            account.refused += verdicts.refused
            account.left_out += verdicts.left_out
            if len(account.refused) > MANY_REFUSED:
                account.check(source)
    if not account.read:
        raise NightmillError(f"there is no row of {account.role}: {places.describe(files)} is empty")
    account.check(source)
    return pa.concat_tables(parts)


def _listed(
    files: list[File], reader: Reader, mapping: Mapper, source: Source, account: Account, key: str
) -> pa.Table:
    """The rows of a role of which each key has one."""
    rows, repeated = last_of_each(_rows(files, reader, mapping, source, account), key)
    account.refused += repeated
    account.kept = rows.num_rows
    return rows


def _contract(table: str, rows: pa.Table) -> pa.Table:
    contract = TABLES[table]
    schema = pa.schema([contract.schema.field(column.name) for column in contract.columns])
    return rows.select(schema.names).cast(schema)
