"""Whose rows are to go, and how they are told from those of others in each kind of row."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import Table
from feature_store.tables import TABLES
from jobs.recommender.synthetic import user_of

# The jobs whose requests are about a user, by id or by question.
ABOUT_USERS = "profile_users"
ABOUT_QUESTIONS = "simulate_cold_start"


def user_column(table: Table) -> str | None:
    """The column of a table that names a user, None where there is none."""
    names = [column.name for column in table.columns]
    return next((name for name in ("user_id", "entity_id") if name in names), None)


def key_columns(table: Table) -> list[str]:
    """The columns that name the answers behind a row."""
    return [column.name for column in table.columns if column.name.endswith("generation_key")]


@dataclass(frozen=True)
class People:
    """The users to be forgotten; source_column: what raw files call the column with their ids."""

    ids: frozenset[str]
    source_column: str = "user_id"

    @cached_property
    def _ids(self) -> pa.Array:
        return pa.array(sorted(self.ids), pa.string())

    def among(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which of these values are ids of theirs."""
        return pc.is_in(values.cast(pa.string()), value_set=self._ids)

    def rows(self, table: str, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows of a table are theirs."""
        column = user_column(TABLES[table])
        if column is None or not rows.num_rows:
            return pa.chunked_array([pa.repeat(False, rows.num_rows)])
        theirs = self.among(rows[column])
        return pc.and_(theirs, pc.equal(rows["entity"], "user")) if column == "entity_id" else theirs

    def refused(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows of a quarantine are theirs: what a model said of them, or a raw row with their id."""
        found = [self._is_refused(row) for row in rows.select(["job", "entity_id", "raw"]).to_pylist()]
        return pa.chunked_array([pa.array(found, pa.bool_())])

    def _is_refused(self, row: dict[str, Any]) -> bool:
        if row["job"] == "ingest":
            return self._in_raw(row["raw"] or "")
        return self.asked(row["job"], row["entity_id"])

    def asked(self, job: str, entity_id: str) -> bool:
        """Whether a request of a job was about one of them."""
        if job == ABOUT_QUESTIONS:
            return user_of(entity_id) in self.ids
        return job == ABOUT_USERS and entity_id in self.ids

    def _in_raw(self, raw: str) -> bool:
        """Whether a refused raw row is theirs, by its column of users.

        A row without one is an item's, or was read when the column had another name: then an id counts that
        cannot be anything else.
        """
        try:
            row = json.loads(raw)
        except ValueError:
            row = {"": raw}
        named = [row[name] for name in (self.source_column, "user_id") if name in row]
        if named:
            return any(_text(value) in self.ids for value in named)
        return any(_text(value) in self.ids for value in row.values() if distinctive(_text(value)))


def distinctive(user_id: str) -> bool:
    """Whether an id is found by itself in a text; a number such as 196 is not."""
    return len(user_id) >= 4 and not user_id.isdigit()


def _text(value: Any) -> str:
    """A raw value as ingest reads an id: trimmed, and a whole number without decimals."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()
