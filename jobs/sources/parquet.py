"""Parquet files, some row groups at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from jobs.sources.chunk import Chunk, Wanted, numbered
from jobs.sources.places import File

ROWS = 1 << 18  # rows read at once


def read(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """Read the wanted columns; rows are numbered from 1."""
    try:
        with file.open() as handle, pq.ParquetFile(handle) as parquet:
            names = parquet.schema_arrow.names
            kept = [name for name in names if name in wanted.columns]
            first = 1
            for batch in parquet.iter_batches(ROWS, columns=kept):
                yield Chunk(pa.Table.from_batches([batch]), numbered(first, len(batch)), names)
                first += len(batch)
            if first == 1:
                yield Chunk(parquet.schema_arrow.empty_table().select(kept), numbered(1, 0), names)
    except (OSError, pa.ArrowException) as error:
        raise NightmillError(f"cannot read {file.path}: {str(error).splitlines()[0]}") from None
