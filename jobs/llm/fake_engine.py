"""An engine without a model: equal requests get equal answers, and it can be told to fail.

For tests and dry runs; the settings never choose it by default, and its answers are nonsense on purpose.
"""

import json
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from jobs.llm.engine import EngineDied
from jobs.llm.request import Answer, Request

LETTERS = "abcdefghijklmnop"


class Fault(Enum):
    """What may be done to a request instead of answering it."""

    ERROR = "the engine says it cannot"
    TRUNCATED = "cut off at the cap"
    NOT_JSON = "text that is not JSON"
    WRONG_SCHEMA = "JSON that is not what the schema wants"
    SILENCE = "no answer at all"
    EMPTY = "an answer without any text"
    NAN = "probabilities that are not numbers"
    BAD_UNICODE = "text with half a surrogate pair"
    DEATH = "the engine dies"


class FakeEngine:
    """Deterministic answers made from the request's schema, one a step.

    fault: what to do to a request instead of answering it, None to answer. delay: seconds an answer takes.
    """

    def __init__(self, fault: Callable[[Request], Fault | None] = lambda _: None, delay: float = 0.0) -> None:
        self.fault, self.delay = fault, delay
        self.asked: list[str] = []
        self._queue: deque[Request] = deque()

    @property
    def busy(self) -> bool:
        """Whether requests wait."""
        return bool(self._queue)

    def submit(self, request: Request) -> Answer | None:
        """Queue a request."""
        self._queue.append(request)
        return None

    def step(self) -> list[Answer]:
        """Answer the request that has waited longest."""
        if not self._queue:
            return []
        request = self._queue.popleft()
        time.sleep(self.delay)
        self.asked.append(request.key)
        fault = self.fault(request)
        if fault is Fault.DEATH:
            raise EngineDied("the fake engine was told to die")
        return [] if fault is Fault.SILENCE else [_answer(request, fault, self.delay)]

    def abort(self, keys: set[str]) -> None:
        """Drop waiting requests."""
        self._queue = deque(request for request in self._queue if request.key not in keys)

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer a request, in order, but for the faults."""
        for request in requests:
            self.submit(request)
            yield from self.step()

    def close(self) -> None:
        """Forget what waits."""
        self._queue.clear()


def _answer(request: Request, fault: Fault | None, seconds: float) -> Answer:
    if fault is Fault.ERROR:
        return Answer(request.key, error="told to fail")
    chance = random.Random(request.key)
    probabilities = _probabilities(request.choices, chance)
    if probabilities:
        text = max(probabilities, key=lambda choice: probabilities[choice])
    else:
        text = json.dumps(instance(request.schema or {}, chance), ensure_ascii=False)
    finish = "stop"
    if fault is Fault.TRUNCATED:
        text, finish = text[: len(text) // 2], "length"
    elif fault is Fault.NOT_JSON:
        text = "Sure! Here it is:"
    elif fault is Fault.WRONG_SCHEMA:
        text = '{"unexpected": 1}'
    elif fault is Fault.EMPTY:
        text = ""
    elif fault is Fault.BAD_UNICODE:
        text = text.replace('"', '"\ud83d', 1)
    elif fault is Fault.NAN:
        probabilities = dict.fromkeys(probabilities, math.nan)
    read = sum(len(message["content"].split()) for message in request.messages)
    written = 1 if probabilities else len(text.split())
    return Answer(request.key, text, finish, read, 0, written, probabilities or None, seconds)


def _probabilities(choices: Sequence[str], chance: random.Random) -> dict[str, float]:
    weights = [chance.random() + 0.01 for _ in choices]
    return {choice: weight / sum(weights) for choice, weight in zip(choices, weights, strict=True)}


def instance(schema: Mapping[str, Any], chance: random.Random) -> Any:
    """A value that satisfies a schema of objects, arrays, enums, texts, numbers and booleans."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return {name: instance(part, chance) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        lowest = schema.get("minItems", 0)
        length = chance.randint(lowest, max(lowest, schema.get("maxItems", lowest + 2)))
        return [instance(schema["items"], chance) for _ in range(length)]
    if kind == "string":
        length = max(schema.get("minLength", 0), min(8, schema.get("maxLength", 8)))
        return "".join(chance.choice(LETTERS) for _ in range(length))
    if kind == "boolean":
        return chance.random() < 0.5
    return schema.get("minimum", 0)
