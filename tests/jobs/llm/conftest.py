"""Requests, nights and engines for the tests of jobs/llm."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from feature_store.partitions import Store
from jobs.llm.engine import Model, find_model
from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef
from jobs.night import Night

SCHEMA = {
    "type": "object",
    "properties": {"tag": {"enum": ["red", "blue"]}, "text": {"type": "string", "minLength": 2}},
    "required": ["tag", "text"],
    "additionalProperties": False,
}


def make_request(entity: str = "e1", content: str | None = None, **changes: Any) -> Request:
    """A request about `entity`; `content` is what is asked, by default something of its own."""
    values: dict[str, Any] = {
        "entity_id": entity,
        "messages": ({"role": "user", "content": content or f"What is {entity}?"},),
        "prompt": PromptRef("ask_tag", "1", "hash"),
        "model": ModelRef("fake", "1"),
        "sampling": SamplingRef(16),
        "schema": SCHEMA,
    }
    return Request(**(values | changes))


@pytest.fixture
def night(make_settings: Callable[..., Any]) -> Callable[..., Night]:
    """`night(**settings)`: a night over an empty data root, whose engine is the fake one."""

    def make(shard: tuple[int, int] | None = None, **overrides: str) -> Night:
        settings = make_settings(GENERATION__ENGINE="fake", **overrides)
        return Night(date(1998, 1, 2), settings, Store(settings.data_root), {}, "run", shard)

    return make


@pytest.fixture
def model(night: Callable[..., Night]) -> Model:
    """The fake engine's model."""
    return find_model(night().settings)
