"""A question to the model, what identifies it, and the engine's answer to it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypedDict


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class PromptRef:
    """The prompt a request was rendered from; provenance, not identity."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True)
class ModelRef:
    """The model that is asked: everything about it that can change an answer."""

    model_id: str
    revision: str
    quantization: str = ""
    adapter: str = ""


@dataclass(frozen=True)
class SamplingRef:
    """How tokens are drawn; `max_tokens` caps the answer."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0


_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
# What the requests of a job have in common is put into JSON and hashed once: rows number millions. Known by
# the identity of the objects, which are kept, so that no other can get it, and which nobody changes.
_openings: dict[tuple[int, ...], tuple[object, Any]] = {}
_closings: dict[tuple[int, ...], tuple[object, bytes]] = {}


def _opening(choices: tuple[str, ...], common: tuple[Message, ...]) -> Any:
    """A hash that has read a request's JSON up to its last message; to be copied."""
    identity = (id(choices), *map(id, common))
    if identity not in _openings:
        if len(_openings) >= 64:
            _openings.clear()
        text = f'{{"choices":{_json(choices)},"messages":[' + "".join(f"{_json(m)}," for m in common)
        _openings[identity] = ((choices, common), hashlib.sha256(text.encode("utf-8", "surrogatepass")))
    return _openings[identity][1]


def _closing(model: ModelRef, sampling: SamplingRef, schema: Mapping[str, Any] | None) -> bytes:
    """A request's JSON after its last message."""
    identity = (id(model), id(sampling), id(schema))
    if identity not in _closings:
        if len(_closings) >= 64:
            _closings.clear()
        parts = {"model": asdict(model), "sampling": asdict(sampling), "schema": schema}
        text = "]," + _json(parts).removeprefix("{")
        _closings[identity] = ((model, sampling, schema), text.encode("utf-8", "surrogatepass"))
    return _closings[identity][1]


@dataclass(frozen=True)
class Request:
    """One rendered prompt and what its answer must look like.

    schema: JSON schema the answer is constrained to. choices: the answer is one of these, and its
    probability is wanted for each; each must begin with a token of its own. entity_id says whose row the
    answer is for and is not part of the key: two rows with equal prompts are one question. cut_fields: what
    of the row was too long and is shown in part; the key sees what is shown. user_id: the user whose history
    or fields are shown, empty where none are; kept with the answer, so that it can be found to be forgotten.
    """

    entity_id: str
    messages: tuple[Message, ...]
    prompt: PromptRef
    model: ModelRef
    sampling: SamplingRef
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    cut_fields: tuple[str, ...] = ()
    user_id: str = ""

    @cached_property
    def key(self) -> str:
        """SHA-256 over the canonical JSON of everything that can change the answer."""
        hashed = _opening(self.choices, self.messages[:-1]).copy()
        last = "".join(_json(message) for message in self.messages[-1:])
        hashed.update(
            last.encode("utf-8", "surrogatepass") + _closing(self.model, self.sampling, self.schema)
        )
        key: str = hashed.hexdigest()
        return key

    def to_wire(self) -> dict[str, Any]:
        """The request as JSON values, for another process."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Request":
        """The request `to_wire` made, with the same key."""
        return cls(
            wire["entity_id"],
            tuple(wire["messages"]),
            PromptRef(**wire["prompt"]),
            ModelRef(**wire["model"]),
            SamplingRef(**wire["sampling"]),
            wire["schema"],
            tuple(wire["choices"]),
            tuple(wire["cut_fields"]),
            wire["user_id"],
        )

    def with_larger_cap(self, factor: int = 2) -> "Request":
        """The same question with room for a longer answer: another key."""
        sampling = replace(self.sampling, max_tokens=self.sampling.max_tokens * factor)
        return replace(self, sampling=sampling)

    def with_other_seed(self, temperature: float) -> "Request":
        """The same question to be answered in other words, at this temperature at least: another key."""
        sampling = replace(
            self.sampling,
            seed=self.sampling.seed + 1,
            temperature=max(self.sampling.temperature, temperature),
        )
        return replace(self, sampling=sampling)


@dataclass(frozen=True)
class Answer:
    """What an engine made of one request.

    error: why there is no answer (the other fields are then empty). choice_probabilities: probability of
    each choice, adding up to one. seconds: from the request's start to its end in the engine.
    """

    key: str
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    choice_probabilities: Mapping[str, float] | None = None
    seconds: float = 0.0
    error: str | None = None
