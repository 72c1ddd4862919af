"""Finished blocks of a run that was cut short, so that the next run with the same inputs goes on behind them.

    <data>/scratch/<name>/<key>/block-00000007.parquet     rows of one block; there whole or not at all

The key is a hash of everything the rows depend on: a block of other inputs is never taken for one's own.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.partitions import sync


class FinishedBlocks:
    """The blocks of one piece of work, by number."""

    def __init__(self, root: Path, name: str, key: str) -> None:
        self._folder = root / "scratch" / name / key
        self._folder.mkdir(parents=True, exist_ok=True)
        self.reused = 0

    def path(self, number: int) -> Path:
        """Where a block is, once it is finished."""
        return self._folder / f"block-{number:08d}.parquet"

    def get(self, number: int, make: Callable[[], pa.Table]) -> pa.Table:
        """A block's rows: those of an earlier run, or made now and kept."""
        path = self.path(number)
        if (rows := _read(path)) is not None:
            self.reused += 1
            return rows
        rows = make()
        staged = path.with_suffix(".staged")
        pq.write_table(rows, staged, compression="zstd", write_page_checksum=True)
        sync(staged)
        os.replace(staged, path)
        return rows


def forget(root: Path, name: str) -> None:
    """Remove every block of a piece of work, whatever its key."""
    shutil.rmtree(root / "scratch" / name, ignore_errors=True)


def _read(path: Path) -> pa.Table | None:
    """The rows of a finished block; None where there is none, or none that can be read."""
    if not path.exists():
        return None
    try:
        return pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        path.unlink(missing_ok=True)
        return None
