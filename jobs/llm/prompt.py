"""Versioned prompts: template, output schema and golden answers are one contract in one folder.

prompts/<name>/v<N>/prompt.jinja         turns, begun by a line `--- system`, `--- user`, `--- assistant`
prompts/<name>/v<N>/output_schema.json   JSON schema of the answer, or {"choices": ["A", "B"]}
prompts/<name>/v<N>/golden.jsonl         rows, their last turn, an answer, and what becomes of it
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError
from jinja2.meta import find_undeclared_variables

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY
from jobs.llm.request import Message, ModelRef, PromptRef, Request, SamplingRef
from jobs.llm.text import fence
from jobs.llm.wording import CUTS, Wording

PROMPTS = REPOSITORY / "prompts"
FILES = ("prompt.jinja", "output_schema.json", "golden.jsonl")
TURN = re.compile(r"^--- (system|user|assistant)\n", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt, and the wording its rows get."""

    name: str
    version: str
    folder: Path
    wording: Wording = field(default_factory=Wording, compare=False)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the names and bytes of the folder's files."""
        digest = hashlib.sha256()
        for name in FILES:
            digest.update(name.encode() + b"\0" + (self.folder / name).read_bytes() + b"\0")
        return digest.hexdigest()

    @cached_property
    def ref(self) -> PromptRef:
        """What a row says of the prompt behind it."""
        return PromptRef(self.name, self.version, self.hash)

    @cached_property
    def output(self) -> dict[str, Any]:
        """The content of output_schema.json."""
        output: dict[str, Any] = json.loads((self.folder / "output_schema.json").read_text("utf-8"))
        return output

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The answers to choose from; empty where the answer is JSON."""
        return tuple(self.output.get("choices", ()))

    @cached_property
    def golden(self) -> list[dict[str, Any]]:
        """Rows with the last turn they render to, an answer, and what the task's check says to it."""
        lines = (self.folder / "golden.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    @cached_property
    def _values(self) -> dict[str, Any]:
        return {"schema": self.output} | self.wording.values

    @cached_property
    def _turns(self) -> list[Message | tuple[str, Template]]:
        """The turns: those that say nothing of a row as they are, the others to be rendered."""
        # Split before rendering: a row cannot begin a turn of its own.
        source = (self.folder / "prompt.jinja").read_text("utf-8")
        environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"fence": fence} | self.wording.filters
        parts = TURN.split(source)[1:]
        turns: list[Message | tuple[str, Template]] = []
        for role, text in zip(parts[::2], parts[1::2], strict=True):
            template = environment.from_string(text.strip())
            if "row" in find_undeclared_variables(environment.parse(text)):
                turns.append((role, template))
            else:
                turns.append({"role": role, "content": template.render(self._values).strip()})
        return turns

    def render(self, row: Mapping[str, Any], cut_fields: list[str] | None = None) -> tuple[Message, ...]:
        """The conversation for one row; NightmillError names the field a row lacks.

        cut_fields: gets the names of the fields that were too long to be shown whole.
        """
        cuts = [] if cut_fields is None else cut_fields
        values = {**self._values, "row": self.wording.shown(row), CUTS: cuts}
        try:
            return tuple(
                [turn if isinstance(turn, dict) else _rendered(*turn, values) for turn in self._turns]
            )
        except TemplateError as error:
            raise NightmillError(f"prompt {self.name} v{self.version} cannot be rendered: {error}") from None

    def request(
        self,
        entity_id: str,
        row: Mapping[str, Any],
        model: ModelRef,
        sampling: SamplingRef,
        user_id: str = "",
    ) -> Request:
        """The question about one row; user_id: the user whose history or fields it shows."""
        cuts: list[str] = []
        messages = self.render(row, cuts)
        schema = None if self.choices else self.output
        cut_fields = tuple(dict.fromkeys(cuts))
        return Request(
            entity_id, messages, self.ref, model, sampling, schema, self.choices, cut_fields, user_id
        )


def _rendered(role: str, template: Template, values: dict[str, Any]) -> Message:
    # What template.render does, without a copy of all globals for each row.
    context = template.new_context(values, shared=True)
    return {"role": role, "content": "".join(template.root_render_func(context)).strip()}


def load_prompt(name: str, version: int, root: Path = PROMPTS, wording: Wording | None = None) -> Prompt:
    """One version of a prompt; NightmillError names the versions that exist when it is not there."""
    folder = root / name / f"v{version}"
    if not folder.is_dir():
        known = ", ".join(sorted(p.name for p in (root / name).glob("v*"))) or "none"
        raise NightmillError(f"prompt {name} has no version v{version} in {root / name}; there is: {known}")
    if absent := [file for file in FILES if not (folder / file).is_file()]:
        raise NightmillError(f"prompt folder {folder} lacks {', '.join(absent)}")
    return Prompt(name, str(version), folder, wording or Wording())
