"""Versioned prompts: template, output schema and golden answers are one contract in one folder.

prompts/<name>/v<N>/prompt.jinja         turns, begun by a line `--- system`, `--- user`, `--- assistant`
prompts/<name>/v<N>/output_schema.json   JSON schema of the answer, or {"choices": ["A", "B"]}
prompts/<name>/v<N>/golden.jsonl         rows, their last turn, an answer, and what becomes of it
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY
from jobs.llm.request import Message, ModelRef, PromptRef, Request, SamplingRef
from jobs.llm.text import fence

PROMPTS = REPOSITORY / "prompts"
FILES = ("prompt.jinja", "output_schema.json", "golden.jsonl")
TURN = re.compile(r"^--- (system|user|assistant)\n", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt."""

    name: str
    version: str
    folder: Path

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the names and bytes of the folder's files."""
        digest = hashlib.sha256()
        for name in FILES:
            digest.update(name.encode() + b"\0" + (self.folder / name).read_bytes() + b"\0")
        return digest.hexdigest()

    @property
    def ref(self) -> PromptRef:
        """What a row says of the prompt behind it."""
        return PromptRef(self.name, self.version, self.hash)

    @cached_property
    def output(self) -> dict[str, Any]:
        """The content of output_schema.json."""
        output: dict[str, Any] = json.loads((self.folder / "output_schema.json").read_text("utf-8"))
        return output

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers to choose from; empty where the answer is JSON."""
        return tuple(self.output.get("choices", ()))

    @cached_property
    def golden(self) -> list[dict[str, Any]]:
        """Rows with the last turn they render to, an answer, and what the task's check says to it."""
        lines = (self.folder / "golden.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    @cached_property
    def _turns(self) -> list[tuple[str, Template]]:
        # Split before rendering: a row cannot begin a turn of its own.
        source = (self.folder / "prompt.jinja").read_text("utf-8")
        environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["fence"] = fence
        environment.globals["schema"] = self.output
        parts = TURN.split(source)[1:]
        return [
            (role, environment.from_string(text.strip()))
            for role, text in zip(parts[::2], parts[1::2], strict=True)
        ]

    def render(self, row: Mapping[str, Any]) -> tuple[Message, ...]:
        """The conversation for one row; NightmillError names the field a row lacks."""
        try:
            return tuple(
                {"role": role, "content": turn.render(row=row).strip()} for role, turn in self._turns
            )
        except TemplateError as error:
            raise NightmillError(f"prompt {self.name} v{self.version} cannot be rendered: {error}") from None

    def request(
        self, entity_id: str, row: Mapping[str, Any], model: ModelRef, sampling: SamplingRef
    ) -> Request:
        """The question about one row."""
        schema = None if self.choices else self.output
        return Request(entity_id, self.render(row), self.ref, model, sampling, schema, self.choices)


def load_prompt(name: str, version: int, root: Path = PROMPTS) -> Prompt:
    """One version of a prompt; NightmillError names the versions that exist when it is not there."""
    folder = root / name / f"v{version}"
    if not folder.is_dir():
        known = ", ".join(sorted(p.name for p in (root / name).glob("v*"))) or "none"
        raise NightmillError(f"prompt {name} has no version v{version} in {root / name}; there is: {known}")
    if absent := [file for file in FILES if not (folder / file).is_file()]:
        raise NightmillError(f"prompt folder {folder} lacks {', '.join(absent)}")
    return Prompt(name, str(version), folder)
