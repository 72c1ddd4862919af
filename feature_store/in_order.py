"""Tables in order of user_id, read forward a block of users at a time, so that memory does not grow."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.tables import TABLES

# Rows decoded at a time.
_BATCH = 65_536


class UsersInOrder:
    """The published rows of a table, which are in order of user_id; see `between`."""

    def __init__(self, table: str, files: Sequence[Path], columns: Sequence[str]) -> None:
        self._table = table
        names = ["user_id", *(name for name in columns if name != "user_id")]
        self._schema = pa.schema([TABLES[table].schema.field(name).with_nullable(True) for name in names])
        self._batches = self._read(files)
        self._held: list[pa.Table] = []

    def _read(self, files: Sequence[Path]) -> Iterator[pa.Table]:
        for path in files:
            with pq.ParquetFile(path) as file:
                stored = [name for name in self._schema.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(_BATCH, columns=stored):
                    if batch.num_rows:
                        yield self._conform(pa.table(batch))

    def _conform(self, rows: pa.Table) -> pa.Table:
        """Columns of the contract; one that came into it after the file was published is null."""
        columns = [
            rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
            for field in self._schema
        ]
        return pa.table(columns, self._schema.names).cast(self._schema)

    def between(self, first: str, last: str) -> pa.Table:
        """The rows of users from `first` to `last`, in one chunk; what lies before cannot be asked for again.

        NightmillError where the rows turn out not to be in order.
        """
        while not self._held or self._held[-1]["user_id"][-1].as_py() <= last:
            batch = next(self._batches, None)
            if batch is None:
                break
            if batch["user_id"][-1].as_py() >= first:
                self._held.append(batch)
        rows = pa.concat_tables([self._schema.empty_table(), *self._held]).combine_chunks()
        start = self._count(rows, pc.less(rows["user_id"], first))
        end = self._count(rows, pc.less_equal(rows["user_id"], last))
        self._held = [rows.slice(end)] if end < rows.num_rows else []
        return rows.slice(start, end - start)

    def _count(self, rows: pa.Table, wanted: pa.ChunkedArray) -> int:
        """How many rows are wanted, which must be the first ones."""
        count = int(pc.sum(wanted).as_py() or 0)
        if int(pc.sum(wanted.slice(0, count)).as_py() or 0) != count:
            job = TABLES[self._table].job
            raise NightmillError(
                f"{self._table} is not in order of user_id: run `nightmill {job} --ds D --reprocess`"
            )
        return count
