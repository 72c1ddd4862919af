"""The ladder every answer climbs: finish reason, JSON, schema, the task's own check.

An answer that falls off is refused with a reason from the enum; it never stops the run.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import jsonschema

from jobs.llm.characters import one_line
from jobs.llm.digits import redact_cards, redact_phones
from jobs.llm.generations import Generation
from jobs.llm.privacy import EMAIL
from jobs.llm.protected import protected
from jobs.llm.request import Request
from jobs.llm.text import links, ungrounded

# Languages in which every noun begins with a capital: there a capital does not tell a name.
NOUN_CAPITALS = frozenset({"german", "deutsch", "luxembourgish", "de"})

# Reads a valid answer into the values of a row; raises Refused when they cannot be published.
Reader = Callable[[Request, Any], Mapping[str, Any]]


class Refused(Exception):
    """An answer that is not published: `reason` is one of the refusal reasons, `detail` one sentence.

    What the model wrote may be part of the detail, so that is made one line, of 500 characters at most.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, one_line(detail)[:500]
        super().__init__(f"{reason}: {self.detail}")


def read_answer(request: Request, generation: Generation, reader: Reader) -> Mapping[str, Any]:
    """What a stored answer says, or Refused with the first rung it fell from."""
    if request.choices:
        return reader(request, read_choices(request, generation))
    if generation.finish_reason == "length":
        raise Refused("truncated", f"cut off at {request.sampling.max_tokens} tokens")
    if generation.finish_reason != "stop":
        raise Refused("engine_error", f"finished with {generation.finish_reason or 'no reason'}")
    try:
        value = json.loads(generation.text)
    except json.JSONDecodeError as error:
        raise Refused("invalid_json", str(error)) from None
    problem = jsonschema.exceptions.best_match(validator(request).iter_errors(value))
    if problem is not None:
        raise Refused("schema_mismatch", f"{problem.json_path}: {problem.message[:300]}")
    refuse_capped(request, value)
    return reader(request, value)


def refuse_capped(request: Request, value: Any) -> None:
    """Refuse texts as long as the schema lets them be: the grammar ended them, not the model."""
    for name, part in (request.schema or {}).get("properties", {}).items():
        text = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(text, str) and "maxLength" in part and len(text) >= part["maxLength"]:
            raise Refused("truncated", f"{name} filled its {part['maxLength']} characters")


def validator(request: Request) -> jsonschema.protocols.Validator:
    """The validator of a request's schema."""
    schema = dict(request.schema or {})
    return jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)


def read_choices(request: Request, generation: Generation) -> Mapping[str, float]:
    """The probability of each choice: there for all of them, finite, adding up to one."""
    found = generation.choice_probabilities or {}
    if set(found) != set(request.choices):
        raise Refused("schema_mismatch", f"probabilities for {sorted(found)}, not {sorted(request.choices)}")
    if not 0.99 <= sum(found.values()) <= 1.01:  # also false where one is not a number
        raise Refused("schema_mismatch", f"probabilities add up to {sum(found.values())}")
    return found


def refuse_unsafe(text: str, source: Iterable[str], allowed: Collection[str] = ()) -> None:
    """Refuse a text that speaks of protected attributes its source does not, or that leads to anybody.

    allowed: the protected attributes it may speak of (privacy.allowed_attributes).
    """
    if brought_in := protected(text, source, allowed):
        raise Refused("unsafe", f"speaks of {', '.join(brought_in)}")
    if found := links(text):
        raise Refused("unsafe", f"links to {found[0]}")
    if EMAIL.search(text) or redact_phones(redact_cards(text)) != text:
        raise Refused("unsafe", "contains an e-mail address, a phone number or a card number")


def refuse_ungrounded(text: str, source: Iterable[str], language: str = "English") -> None:
    """Refuse a text with numbers or names its source does not contain."""
    if invented := ungrounded(text, source, language.casefold() in NOUN_CAPITALS):
        raise Refused("ungrounded", f"the input does not contain {', '.join(invented)}")
