"""Which rows of a chunk stand, which are refused and why, and which are not asked for."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import SettingsError
from jobs.sources.chunk import Chunk, Refused
from jobs.sources.places import File
from jobs.sources.values import array

EXAMPLE = 40  # characters of a value that are shown


class Verdicts:
    """The rows of a chunk, judged: the first thing that is wrong with a row is why it is refused."""

    def __init__(self, file: File, chunk: Chunk) -> None:
        self.file, self.chunk = file, chunk
        self.stands = pa.repeat(True, chunk.rows.num_rows)
        self.refused = list(chunk.refused)
        self.left_out = chunk.left_out
        self.forgotten = 0

    def require(self, **columns: str) -> None:
        """Refuse a mapping that names a column the file does not have; keys are the settings' names."""
        for setting, name in columns.items():
            if name and name not in self.chunk.columns:
                one = " (is source.delimiter right?)" if len(self.chunk.columns) == 1 else ""
                raise SettingsError(
                    f"source.{setting} = {name!r} is not a column of {self.file.path}; "
                    f"it has {', '.join(self.chunk.columns)}{one}"
                )

    def column(self, name: str) -> pa.Array:
        """A raw column, null throughout where this part of the file lacks it."""
        if name not in self.chunk.rows.column_names:
            return pa.nulls(self.chunk.rows.num_rows, pa.string())
        return array(self.chunk.rows[name])

    def leave_out(self, rows: pa.Array) -> None:
        """Take out rows nobody asked for; they are not judged."""
        rows = pc.and_(self.stands, pc.fill_null(rows, False))
        self.left_out += pc.sum(rows).as_py() or 0
        self.stands = pc.and_not(self.stands, rows)

    def forget(self, rows: pa.Array) -> None:
        """Take out rows of users who were forgotten, before anything is said of them."""
        rows = pc.and_(self.stands, pc.fill_null(rows, False))
        self.forgotten += pc.sum(rows).as_py() or 0
        self.stands = pc.and_not(self.stands, rows)

    def refuse(self, bad: pa.Array, problem: str, column: str = "") -> None:
        """Take out rows that cannot be used; the problem is said with what stands in `column`."""
        bad = pc.and_(self.stands, pc.fill_null(bad, False))
        if not pc.any(bad).as_py():
            return
        rows, lines = _shown(self.chunk.rows.filter(bad)), self.chunk.lines.filter(bad).to_pylist()
        for row, line in zip(rows, lines, strict=True):
            raw = json.dumps(row, default=str, ensure_ascii=False)
            value = f": {str(row[column])[:EXAMPLE]!r}" if column in row else ""
            self.refused.append(Refused(f"{self.file.name}:{line}", f"{problem}{value}", raw))
        self.stands = pc.and_not(self.stands, bad)

    def standing(self, rows: pa.Table) -> pa.Table:
        """Of mapped rows, one for each of the chunk's, those that stand."""
        return rows if pc.all(self.stands).as_py() is not False else rows.filter(self.stands)


def _shown(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python values; a time that Python cannot hold (the year 45970) is its number."""
    try:
        return rows.to_pylist()
    except (ValueError, OverflowError):
        schema = [pa.field(f.name, pa.int64()) if pa.types.is_timestamp(f.type) else f for f in rows.schema]
        return rows.cast(pa.schema(schema)).to_pylist()
