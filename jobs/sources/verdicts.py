"""Which rows of a chunk stand, which are refused and why, and which are not asked for."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import SettingsError
from jobs.sources.chunk import Chunk, Refused
from jobs.sources.places import File
from jobs.sources.values import array


class Verdicts:
    """The rows of a chunk, judged: the first thing that is wrong with a row is why it is refused."""

    def __init__(self, file: File, chunk: Chunk) -> None:
        self.file, self.chunk = file, chunk
        self.stands = pa.repeat(True, chunk.rows.num_rows)
        self.refused = list(chunk.refused)
        self.left_out = chunk.left_out

    def require(self, **columns: str) -> None:
        """Refuse a mapping that names a column the file does not have; keys are the settings' names."""
        for setting, name in columns.items():
            if name and name not in self.chunk.columns:
                raise SettingsError(
                    f"source.{setting} = {name!r} is not a column of {self.file.path}; "
                    f"it has {', '.join(self.chunk.columns)}"
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

    def refuse(self, bad: pa.Array, problem: str) -> None:
        """Take out rows that cannot be used."""
        bad = pc.and_(self.stands, pc.fill_null(bad, False))
        if not pc.any(bad).as_py():
            return
        rows, lines = self.chunk.rows.filter(bad).to_pylist(), self.chunk.lines.filter(bad).to_pylist()
        for row, line in zip(rows, lines, strict=True):
            raw = json.dumps(row, default=str, ensure_ascii=False)
            self.refused.append(Refused(f"{self.file.name}:{line}", problem, raw))
        self.stands = pc.and_not(self.stands, bad)

    def standing(self, rows: pa.Table) -> pa.Table:
        """Of mapped rows, one for each of the chunk's, those that stand."""
        return rows if pc.all(self.stands).as_py() is not False else rows.filter(self.stands)
