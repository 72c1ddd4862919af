"""A search over all bytes of a folder, and over everything they stand for."""

import html
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# By the first two bytes.
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}


def places(root: Path, needles: Sequence[str]) -> list[str]:
    """The files under a root that have one of the texts in them, as bytes or in what is decoded from them."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and any(needle in text for text in _texts(path) for needle in forms(needles))
    )


def forms(needles: Sequence[str]) -> set[bytes]:
    """Texts as they are, in HTML, in JSON, and in the name of a question."""
    written = {f for n in needles for f in (n, html.escape(n), json.dumps(n)[1:-1], n.replace("|", "%7C"))}
    return {form.encode() for form in written}


def _texts(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content[:4] == b"PAR1" and content[-4:] == b"PAR1":
        table = pq.read_table(path, partitioning=None)
        yield repr((table.schema.metadata, table.to_pylist())).encode("utf-8", "replace")
        yield json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode("utf-8", "replace")
    elif kind := COMPRESSED.get(content[:2]):
        with pa.input_stream(str(path), compression=kind) as stream:
            yield stream.read()
    elif content[8:12] == b"DUCK":
        yield from _rows_of_duckdb(path)
    elif content[:15] == b"SQLite format 3":
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()


def _rows_of_duckdb(path: Path) -> Iterator[bytes]:
    with duckdb.connect(str(path), read_only=True) as connection:
        for name, sql in connection.execute("SELECT view_name, sql FROM duckdb_views()").fetchall():
            yield f"{name} {sql}".encode()
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            yield repr(connection.execute(f'SELECT * FROM "{name}"').fetchall()).encode()
