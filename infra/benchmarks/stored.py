"""A store of made-up answers, as large as wanted: what planning is measured against."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from feature_store.parts import add_part
from jobs.llm.generations import SCHEMA


def key_of(number: int, kind: str = "stored") -> str:
    """The key of a made-up request."""
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()


def write_generations(root: Path, prompt_name: str, rows: int, rows_per_part: int) -> None:
    """Write `rows` answers of some 150 characters; their keys are key_of(0), key_of(1) and so on."""
    for start in range(0, rows, rows_per_part):
        numbers = range(start, min(start + rows_per_part, rows))
        add_part(root / "generations" / prompt_name, _part(prompt_name, numbers))


def _part(prompt_name: str, numbers: range) -> pa.Table:
    count, now = len(numbers), datetime.now(UTC)
    same = {
        "prompt_name": prompt_name,
        "prompt_version": "1",
        "prompt_hash": "0" * 64,
        "model_id": "made-up",
        "model_revision": "1",
        "finish_reason": "stop",
        "prompt_tokens": 400,
        "cached_tokens": 320,
        "output_tokens": 40,
        "choice_probabilities": None,
        "seconds": 1.0,
        "created_at": now,
        "quantization": "",
        "adapter": "",
        "max_tokens": 160,
        "temperature": 0.0,
        "seed": 0,
        "cut_fields": [],
        "user_id": None,
    }
    columns = {
        name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), count) for name, value in same.items()
    }
    columns["key"] = pa.array([key_of(number) for number in numbers])
    columns["text"] = pa.array(
        [
            f'{{"description":"A made-up answer, number {number}, as long as answers are: a drama of the '
            f'year {1900 + number % 100}.","tags":["drama","calm"],"audience":"adults"}}'
            for number in numbers
        ]
    )
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
