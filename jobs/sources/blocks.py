"""Text files as blocks of whole lines in UTF-8, decompressed and checked."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from feature_store.errors import NightmillError
from jobs.sources.places import File

BLOCK = (
    8 << 20
)  # bytes read at once: large enough for Arrow to be quick, small enough to be read line by line
LONGEST_LINE = 64 << 20
# How a compressed file begins; its name may say something else.
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
UTF8 = ("utf-8", "utf-8-sig", "ascii")


@dataclass(frozen=True)
class Block:
    """Whole lines, each with its newline; first: the number of the first, from 1."""

    data: bytes
    first: int


def blocks(file: File, encoding: str = "utf-8") -> Iterator[Block]:
    """The file's lines, some megabytes at a time.

    NightmillError names the file that is cut off or damaged, and the line and byte that are not in
    `encoding`. A byte order mark is left out; a last line without newline is given one.
    """
    checked = _utf8 if codecs.lookup(encoding).name in UTF8 else _transcoded
    line, rest = 1, b""
    for data in checked(file, encoding):
        rest += data
        end = rest.rfind(b"\n") + 1
        if end:
            yield Block(rest[:end], line)
            line += rest.count(b"\n", 0, end)
            rest = rest[end:]
        elif len(rest) > LONGEST_LINE:
            raise NightmillError(
                f"{file.path}:{line} is longer than {LONGEST_LINE >> 20} MiB: is it a text file?"
            )
    if rest:
        yield Block(rest + b"\n", line)


def _utf8(file: File, encoding: str) -> Iterator[bytes]:
    """The file's bytes, once they are known to be UTF-8; characters are not torn apart."""
    position, lines, rest = 0, 0, b""
    for data in _raw(file):
        data = rest + data
        try:
            used = len(data) if data.isascii() else codecs.utf_8_decode(data, "strict", False)[1]
        except UnicodeDecodeError as error:
            raise _wrong_text(file, encoding, lines, position, data, error.start) from None
        rest = data[used:]
        yield data[3:used] if position == 0 and data.startswith(codecs.BOM_UTF8) else data[:used]
        position += used
        lines += data.count(b"\n", 0, used)
    if rest:
        raise _wrong_text(file, encoding, lines, position, rest, 0)


def _transcoded(file: File, encoding: str) -> Iterator[bytes]:
    """The file's text as UTF-8."""
    decoder, position, lines = codecs.getincrementaldecoder(encoding)("strict"), 0, 0
    for data in _raw(file):
        try:
            text = decoder.decode(data)
        except UnicodeDecodeError as error:
            raise _wrong_text(file, encoding, lines, position, data, error.start) from None
        position += len(data)
        lines += text.count("\n")
        yield text.encode("utf-8", "replace")


def _wrong_text(file: File, encoding: str, lines: int, position: int, data: bytes, at: int) -> NightmillError:
    line = lines + 1 + data.count(b"\n", 0, at)
    return NightmillError(
        f"{file.path}:{line} is not {encoding}: byte 0x{data[at]:02x} at {position + at:,}; "
        "give the file's encoding as source.encoding (latin-1, cp1252 ...), or write it as UTF-8"
    )


def _raw(file: File) -> Iterator[bytes]:
    with _stream(file) as stream:
        read = 0
        while True:
            try:
                data = stream.read(BLOCK)
            except (OSError, EOFError, pa.ArrowInvalid) as error:
                raise _broken(file, read, error) from None
            if not data:
                return
            read += len(data)
            yield data


@contextmanager
def _stream(file: File) -> Iterator[Any]:
    with file.open() as handle:
        start = handle.read(4)
        handle.seek(0)
        compression = next((c for magic, c in COMPRESSIONS.items() if start.startswith(magic)), None)
        yield pa.input_stream(handle, compression=compression) if compression else handle


def _broken(file: File, read: int, error: Exception) -> NightmillError:
    return NightmillError(
        f"{file.path} is damaged or cut off: its compressed text breaks after {read:,} bytes "
        f"({str(error).splitlines()[0]}); fetch the file again"
    )
