"""JSON lines: by Arrow where a block is sound and of one type, else line by line."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from feature_store.errors import NightmillError
from jobs.sources.blocks import Block, blocks
from jobs.sources.chunk import Chunk, Refused, Wanted, numbered, table
from jobs.sources.places import File

SAMPLE = 1000  # lines that decide the columns' types; a block that does not fit is read line by line
Parse = Callable[[str], Any]


def read(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """Read the wanted keys of one JSON object a line; absent ones are null."""
    schema: pa.Schema | None = None
    columns: list[str] = []
    for block in blocks(file, wanted.encoding or "utf-8"):
        if schema is None:
            if block.data.lstrip()[:1] == b"[":
                raise NightmillError(
                    f"{file.path} is one JSON array, not one object a line; convert it with `jq -c '.[]'`"
                )
            columns, schema = _sample(block, wanted)
        rows = _quickly(block.data, schema)
        if rows is not None:
            yield Chunk(rows, numbered(block.first, rows.num_rows), columns)
            continue
        records, lines, refused = objects(file, block, wanted)
        picked = {n: column([r.get(n) for r in records]) for n in wanted.columns if n in columns}
        yield Chunk(table(picked, len(records)), lines, columns, refused)


def objects(
    file: File, block: Block, wanted: Wanted, parse: Parse = json.loads
) -> tuple[list[dict[str, Any]], pa.Array, list[Refused]]:
    """The objects of a block, one a line, the lines' numbers, and the lines that are none."""
    records, numbers, refused = list[dict[str, Any]](), list[int](), list[Refused]()
    for number, line in enumerate(block.data.decode().split("\n")[:-1], start=block.first):
        if not line.strip():
            continue
        try:
            record = parse(line)
            problem = "" if isinstance(record, dict) else "is no JSON object"
        # ast.literal_eval, a parse, raises the last three
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            problem = f"is no JSON object: {str(error).splitlines()[0][:120]}"
        if problem:
            refused.append(Refused(f"{file.name}:{number}", problem, "" if wanted.private else line))
        else:
            records.append(record)
            numbers.append(number)
    return records, pa.array(numbers, pa.int64()), refused


def _sample(block: Block, wanted: Wanted) -> tuple[list[str], pa.Schema]:
    """The columns the first lines have, and a schema of the wanted ones; text where types are mixed."""
    lines = block.data.decode().split("\n", SAMPLE)[:SAMPLE]
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records += [record] if isinstance(record, dict) else []
    columns = list(dict.fromkeys(key for record in records for key in record))
    # A key that is rare may still stand further down.
    columns += [n for n in wanted.columns if n not in columns and json.dumps(n).encode() in block.data]
    fields = []
    for name in wanted.columns:
        if name in columns:
            type_ = _type([record.get(name) for record in records])
            fields.append(pa.field(name, type_ or pa.string()))
    return columns, pa.schema(fields)


def _type(values: list[Any]) -> pa.DataType | None:
    """The Arrow type that all values have; None where they differ or are null."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.float64()
    if kinds == {list}:
        return pa.list_(pa.string())
    return (
        {str: pa.string(), int: pa.int64(), float: pa.float64()}.get(kinds.pop()) if len(kinds) == 1 else None
    )


def _quickly(data: bytes, schema: pa.Schema) -> pa.Table | None:
    """The block by Arrow; None where lines and objects are not one to one, or a value is of another type."""
    lines = _lines(data)
    if not schema.names or not lines:
        return None
    try:
        rows = arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    return rows if rows.num_rows == lines else None


def _lines(data: bytes) -> int:
    """How many lines there are; 0 where one does not begin an object."""
    signs = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(signs == ord("\n"))
    begins = signs[np.concatenate([[0], ends[:-1] + 1])]
    return len(ends) if (begins == ord("{")).all() else 0


def column(values: list[Any]) -> pa.Array:
    """Values of any JSON type as an array: numbers if all are, texts if all are lists, else text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        try:
            return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
        except (OverflowError, pa.ArrowInvalid):
            pass
    if kinds == {list}:
        return _texts([None if value is None else flat(value) for value in values], pa.list_(pa.string()))
    return _texts([text(value) for value in values], pa.string())


def _texts(values: list[Any], type_: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        clean = json.loads(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
        return pa.array(clean, type_)


def text(value: Any) -> str | None:
    """A JSON value as text; what is an object, or null, is no text."""
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        return " ".join(flat(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def flat(value: Any) -> list[str]:
    """The texts in a value, in the order they stand, out of lists in lists."""
    if isinstance(value, list):
        return [part for entry in value for part in flat(entry)]
    part = text(value)
    return [part] if part else []
