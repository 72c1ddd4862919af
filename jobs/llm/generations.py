"""The store of answers: content-addressed, so that a question is never paid for twice.

    <data>/generations/<prompt_name>/part-<time>-<random>.parquet

A part is written under another name, synced, and renamed: it is there whole or not at all. Any number of
processes may write at the same time; nothing is ever changed in place.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.partitions import add_part
from jobs.llm.request import Answer, Request

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), False),
        pa.field("prompt_name", pa.string(), False),
        pa.field("prompt_version", pa.string(), False),
        pa.field("prompt_hash", pa.string(), False),
        pa.field("model_id", pa.string(), False),
        pa.field("model_revision", pa.string(), False),
        pa.field("text", pa.string(), False),
        pa.field("finish_reason", pa.string(), False),
        pa.field("prompt_tokens", pa.int64(), False),
        pa.field("cached_tokens", pa.int64(), False),
        pa.field("output_tokens", pa.int64(), False),
        pa.field("choice_probabilities", pa.string(), True),
        pa.field("seconds", pa.float64(), False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), False),
    ]
)


@dataclass(frozen=True)
class Generation:
    """A stored answer; choice_probabilities is None where no choice was asked for."""

    key: str
    text: str
    finish_reason: str
    choice_probabilities: Mapping[str, float] | None


class Generations:
    """The answers under one data root."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "generations"

    def parts(self, prompt_name: str) -> list[Path]:
        """The parts with answers to one prompt, in the order they were written."""
        return sorted(self.folder.glob(f"{prompt_name}/part-*.parquet"))

    def find(self, prompt_name: str, keys: Iterable[str]) -> dict[str, Generation]:
        """The stored answers among `keys`; where two processes answered one key, the first."""
        wanted = pa.table({"key": pa.array(sorted(set(keys)), pa.string())})
        parts = self.parts(prompt_name)
        if not parts or not wanted.num_rows:
            return {}
        # pyarrow and DuckDB differ only in time here: DuckDB reads the other columns for hits alone.
        import duckdb

        query = """
            SELECT key, text, finish_reason, choice_probabilities
            FROM read_parquet($parts) SEMI JOIN wanted USING (key)
            QUALIFY row_number() OVER (PARTITION BY key ORDER BY created_at) = 1
        """
        with duckdb.connect() as connection:
            connection.register("wanted", wanted)
            try:
                rows = connection.execute(query, {"parts": [str(part) for part in parts]}).fetchall()
            except (duckdb.InvalidInputException, duckdb.IOException) as error:
                raise NightmillError(_damaged(parts, error)) from None
        return {
            key: Generation(key, text, finish, None if choices is None else json.loads(choices))
            for key, text, finish, choices in rows
        }

    def add(self, answered: Sequence[tuple[Request, Answer]]) -> Path:
        """Write answers as one part; when this returns they are on the disk. All must share a prompt name."""
        (name,) = {request.prompt.name for request, _ in answered}
        now = datetime.now(UTC)
        rows = pa.Table.from_pylist([_row(request, answer, now) for request, answer in answered], SCHEMA)
        return add_part(self.folder / name, rows)


def _row(request: Request, answer: Answer, now: datetime) -> dict[str, Any]:
    choices = answer.choice_probabilities
    return {
        "key": request.key,
        "prompt_name": request.prompt.name,
        "prompt_version": request.prompt.version,
        "prompt_hash": request.prompt.hash,
        "model_id": request.model.model_id,
        "model_revision": request.model.revision,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "cached_tokens": answer.cached_tokens,
        "output_tokens": answer.output_tokens,
        "choice_probabilities": None if choices is None else json.dumps(choices, sort_keys=True),
        "seconds": answer.seconds,
        "created_at": now,
    }


def _damaged(parts: Sequence[Path], error: Exception) -> str:
    for part in parts:
        try:
            pq.read_metadata(part)
        except (pa.ArrowInvalid, OSError):
            return f"{part} is damaged; remove it and run again: only its answers are asked anew"
    return f"the answers in {parts[0].parent} cannot be read: {str(error).splitlines()[0]}"
