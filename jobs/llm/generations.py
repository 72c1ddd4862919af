"""The store of answers: content-addressed, so that a question is never paid for twice.

    <data>/generations/<prompt_name>/part-<time>-<random>.parquet

What any number of processes may do with such a folder at the same time, and what becomes of a damaged part,
is told in feature_store/parts.py; jobs/compact.py merges small parts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_store.contract import GENERATIONS_SCHEMA as SCHEMA
from feature_store.parts import add_part, find_rows, list_parts
from jobs.llm.request import Answer, Request

# Two processes may have paid for one key. The first answer counts, and where clocks tie the smallest.
FIRST = ("created_at", "text", "finish_reason")


@dataclass(frozen=True, slots=True)
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
        """The parts with answers to one prompt, by name."""
        return list_parts(self.folder / prompt_name)

    def find(self, prompt_name: str, keys: Iterable[str]) -> dict[str, Generation]:
        """The stored answers among `keys`; where two processes answered one key, the first."""
        wanted = set(keys)
        if not wanted:
            return {}
        columns = ["key", *FIRST, "choice_probabilities"]
        found: dict[str, tuple[Any, ...]] = {}
        for rows in find_rows(self.folder / prompt_name, SCHEMA, columns, wanted):
            values = (rows["created_at"].cast(pa.int64()), *(rows[name] for name in columns[2:]))
            for key, *row in zip(rows["key"].to_pylist(), *(v.to_pylist() for v in values), strict=True):
                if key not in found or row[:3] < list(found[key][:3]):
                    found[key] = tuple(row)
        return {
            key: Generation(key, text, finish, None if choices is None else json.loads(choices))
            for key, (_, text, finish, choices) in found.items()
        }

    def missing(self, prompt_name: str, keys: Iterable[str]) -> set[str]:
        """The keys without a stored answer; reads no answers, so that it is cheap for millions of keys."""
        wanted = set(keys)
        missing = set(wanted)
        if wanted:
            for rows in find_rows(self.folder / prompt_name, SCHEMA, ["key"], wanted):
                missing.difference_update(rows["key"].to_pylist())
        return missing

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
        "text": storable(answer.text),
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "cached_tokens": answer.cached_tokens,
        "output_tokens": answer.output_tokens,
        "choice_probabilities": None if choices is None else json.dumps(choices, sort_keys=True),
        "seconds": answer.seconds,
        "created_at": now,
        "quantization": request.model.quantization,
        "adapter": request.model.adapter,
        "max_tokens": request.sampling.max_tokens,
        "temperature": request.sampling.temperature,
        "seed": request.sampling.seed,
        "cut_fields": list(request.cut_fields),
        "user_id": request.user_id or None,
    }


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: a surrogate without its other half becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
