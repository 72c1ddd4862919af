"""Text with a delimiter (CSV, TSV and their like): by Arrow where a block is sound, else line by line."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import csv as arrow_csv

from feature_store.errors import NightmillError
from jobs.sources.blocks import Block, blocks
from jobs.sources.chunk import Chunk, Refused, Wanted, numbered
from jobs.sources.places import File

LONGEST_RECORD = 1000  # lines a quoted field may span; a quote that stays open longer is a stray one
END = "\0"


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    delimiter: one or two characters. quoted: whether `"` may enclose a field; if not it is a character.
    names: of the columns, where the file has no header. rename: applied to the names of a header.
    """

    delimiter: str
    quoted: bool = False
    names: tuple[str, ...] = ()
    encoding: str = "utf-8"
    rename: Callable[[str], str] = str.strip


def read(file: File, wanted: Wanted, dialect: Dialect) -> Iterator[Chunk]:
    """Read all columns as text; a line with the wrong number of fields is refused."""
    names, pending, last = dialect.names, b"", None
    for block in _joined(blocks(file, wanted.encoding or dialect.encoding), dialect):
        if not names:
            header, _, data = block.data.partition(b"\n")
            names = _header(file, header, dialect)
            block = Block(data, block.first + 1)
        block = Block(pending + block.data, block.first - pending.count(b"\n"))
        part = _Part(file, block, names, wanted, dialect)
        chunk, pending = part.quickly() or part.line_by_line(last=False)
        last = block.first + block.data.count(b"\n")
        yield chunk
    if pending and last:
        block = Block(pending, last - pending.count(b"\n"))
        yield _Part(file, block, names, wanted, dialect).line_by_line(last=True)[0]


def _joined(found: Iterator[Block], dialect: Dialect) -> Iterator[Block]:
    """Blocks with a delimiter of one byte: that is all Arrow takes."""
    for block in found:
        if len(dialect.delimiter) > 1:
            yield Block(block.data.replace(dialect.delimiter.encode(), b"\x1f"), block.first)
        else:
            yield block


def _header(file: File, line: bytes, dialect: Dialect) -> tuple[str, ...]:
    cells = next(csv.reader([line.decode()], delimiter=_sign(dialect)), [])
    names = tuple(dialect.rename(cell) for cell in cells)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise NightmillError(f"{file.path}: the header names {', '.join(repeated)} twice; rename one of them")
    return names


def _sign(dialect: Dialect) -> str:
    return dialect.delimiter if len(dialect.delimiter) == 1 else "\x1f"


class _Part:
    """One block of a file, and the two ways to read it."""

    def __init__(
        self, file: File, block: Block, names: Sequence[str], wanted: Wanted, dialect: Dialect
    ) -> None:
        self.file, self.block, self.names, self.wanted, self.dialect = file, block, names, wanted, dialect
        self.kept = [name for name in names if name in wanted.columns] or list(names)

    def quickly(self) -> tuple[Chunk, bytes] | None:
        """The block by Arrow; None where lines and rows are not one to one, or a line is no row."""
        data, quotes = self.block.data, False
        if self.dialect.quoted:
            quotes = b'"' in data
            if quotes and data.count(b'"') % 2:
                return None
        lines = data.count(b"\n")
        if data.count(b"\r") != data.count(b"\r\n"):  # Arrow takes a lone one for the end of a line
            return None
        if not lines:
            return self._chunk(
                pa.table({n: pa.array([], pa.string()) for n in self.kept}), numbered(1, 0)
            ), b""
        options = {
            "read_options": arrow_csv.ReadOptions(
                column_names=list(self.names), use_threads=False, block_size=len(data) + 1
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=_sign(self.dialect), quote_char='"' if quotes else False, newlines_in_values=quotes
            ),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()), include_columns=self.kept
            ),
        }
        try:
            rows = arrow_csv.read_csv(pa.BufferReader(data), **options)
        except pa.ArrowInvalid:
            return None
        if rows.num_rows != lines:
            return None
        return self._chunk(rows, numbered(self.block.first, lines)), b""

    def line_by_line(self, last: bool) -> tuple[Chunk, bytes]:
        """The block by Python: what is a row, what is refused, and the open record at its end."""
        lines = self.block.data.decode().split("\n")[:-1]
        rows, numbers, refused, at = list[list[str]](), list[int](), list[Refused](), 0
        while at < len(lines):
            cells, used = self._record(lines, at)
            if used == 0 and not last and len(lines) - at < LONGEST_RECORD:
                break
            number, used = self.block.first + at, max(used, 1)
            if len(cells) == len(self.names):
                rows.append(cells)
                numbers.append(number)
            elif lines[at].strip():
                problem = (
                    f"{len(cells)} fields, not {len(self.names)}" if cells else "a quote is never closed"
                )
                raw = "" if self.wanted.private else lines[at].replace("\x1f", self.dialect.delimiter)
                refused.append(Refused(f"{self.file.name}:{number}", problem, raw))
                used = 1
            at += used
        picked = {
            n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(self.names) if n in self.kept
        }
        rest = "".join(line + "\n" for line in lines[at:]).encode()
        return self._chunk(pa.table(picked), pa.array(numbers, pa.int64()), refused), rest

    def _record(self, lines: list[str], at: int) -> tuple[list[str], int]:
        """The fields of the record that begins at a line, and how many lines it takes; 0 if it never ends."""
        line = lines[at].removesuffix("\r")
        if not self.dialect.quoted or '"' not in line:
            return (line.split(_sign(self.dialect)) if line else []), 1
        # Only what strictly is one may be a record over several lines: else two stray quotes swallow a line.
        cells, used = self._parse(lines[at : at + LONGEST_RECORD], strict=True)
        if cells or not used:
            return cells, used
        return self._parse([line], strict=False)[0], 1

    def _parse(self, lines: list[str], strict: bool) -> tuple[list[str], int]:
        """The first record of some lines, and how many it takes; 0 if it does not end in them."""
        ended = (f"{text}\n" for text in (*lines, END))
        reader = csv.reader(ended, delimiter=_sign(self.dialect), strict=strict)
        try:
            cells = next(reader)
        except csv.Error:
            cells = []
        return (cells, reader.line_num) if reader.line_num <= len(lines) else ([], 0)

    def _chunk(self, rows: pa.Table, lines: pa.Array, refused: list[Refused] | None = None) -> Chunk:
        return Chunk(rows, lines, self.names, refused or [])
