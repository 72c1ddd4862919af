"""What a reader is: a function that yields a raw file in chunks, in the file's own columns.

A new format is such a function for each role, and one line in `formats.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.sources.places import File


@dataclass(frozen=True)
class Wanted:
    """What the settings ask of a file.

    columns: those the mapping names; a reader may leave the others out. encoding: "" = the format's own.
    delimiter: "" = by suffix. events: event types that are read, empty = all. private: the rows are about
    people, so text that could not be taken apart is not to be kept.
    """

    columns: tuple[str, ...]
    encoding: str = ""
    delimiter: str = ""
    events: frozenset[str] = frozenset()
    private: bool = False


@dataclass(frozen=True)
class Refused:
    """One raw row that cannot be used: where it stands, what is wrong with it, and its text.

    corrupt: whether it counts towards source.max_refused_share (a repeated row does not).
    """

    where: str
    problem: str
    raw: str
    corrupt: bool = True


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    rows: raw columns, of any Arrow type. lines: the line (or row) number of each, from 1. columns: all the
    columns the file has. refused: lines that are no rows. left_out: rows the settings do not ask for.
    """

    rows: pa.Table
    lines: pa.Array
    columns: Sequence[str]
    refused: list[Refused] = field(default_factory=list)
    left_out: int = 0


Reader = Callable[[File, Wanted], Iterator[Chunk]]


def numbered(first: int, rows: int) -> pa.Array:
    """The numbers of consecutive lines."""
    return pa.array(np.arange(first, first + rows, dtype=np.int64))


def table(columns: dict[str, Any], rows: int) -> pa.Table:
    """Lists or arrays as a table; a column that is null throughout counts as text."""
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()
    }
    for name, values in arrays.items():
        if pa.types.is_null(values.type):
            arrays[name] = pa.nulls(rows, pa.string())
    return pa.table(arrays)
