"""Requests, nights and engines for the tests of jobs/llm."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from feature_store.partitions import Store
from feature_store.settings import REPOSITORY, Settings, load_settings
from jobs.llm.engine import Model, find_model
from jobs.llm.prompt import load_prompt
from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef
from jobs.llm.server import stop_server
from jobs.llm.wire import ServerFiles
from jobs.night import Night

GENRES = ("Comedy", "Drama", "Action", "Western")
PLACES = ("Harbour", "Meadow", "Station", "Island", "Library", "Orchard")
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


@pytest.fixture(scope="package")
def engine_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that name a data root and a source with 24 items, all in scope, for the real engine."""
    root = tmp_path_factory.mktemp("engine")
    source = root / "source"
    source.mkdir()
    items = [f"i{n}\tThe {PLACES[n % 6]} of {1970 + n}\t{1970 + n}\t{GENRES[n % 4]}" for n in range(24)]
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    (source / "s.item").write_text("\n".join([head, *items]) + "\n", "utf-8")
    event = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nann\ti1\t5\t883612800\n"
    (source / "s.inter").write_text(event, "utf-8")
    return {
        "NIGHTMILL_DATA": str(root / "data"),
        "NIGHTMILL_SOURCE__LOCATION": str(source),
        "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
        "NIGHTMILL_GENERATION__FLUSH_ROWS": "4",
        "NIGHTMILL_GENERATION__VLLM__MAX_NUM_SEQS": "4",
        "NIGHTMILL_GENERATION__VLLM__KV_CACHE_GIB": "0.5",
    }


@pytest.fixture(scope="package")
def engine_settings(engine_environ: dict[str, str]) -> Iterator[Settings]:
    """The settings of those variables; the server is stopped at the end and nothing of it is left."""
    made = load_settings(engine_environ)
    yield made
    alive = [files for files in ServerFiles.all(made.data_root) if files.alive()]
    pids = [json.loads(files.address.read_text("utf-8"))["pid"] for files in alive]
    assert stop_server(made.data_root) == bool(pids)
    assert not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@dataclass(frozen=True)
class Answers:
    """What tests/jobs/llm/answers.py wrote: an outcome for each row, the counts, and the stored keys."""

    outcomes: dict[str, Any]
    counts: dict[str, int]
    keys: list[str]

    def check(self) -> None:
        """Every profile fits its schema, every choice adds up, and the row that is too long is an error."""
        schema = load_prompt("profile_item", 1).output
        for name, outcome in self.outcomes.items():
            if name == "long":
                assert outcome["reason"] == "engine_error"
            elif name.startswith("q"):
                assert sum(outcome["values"].values()) == pytest.approx(1)
            else:
                jsonschema.validate(outcome["values"], schema)

    def different(self, other: "Answers") -> list[str]:
        """Rows that `other` answers otherwise; probabilities may differ in the fourth digit."""
        return [
            name
            for name, outcome in self.outcomes.items()
            if name != "long" and not _same(outcome["values"], other.outcomes[name]["values"])
        ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and all(isinstance(value, float) for value in one.values()):
        return bool(other == pytest.approx(one, abs=1e-4))
    return bool(one == other)


class Asking:
    """answers.py in a process of its own, with the variables of the real engine and others laid over them."""

    def __init__(self, environ: dict[str, str], out: Path, overrides: dict[str, str]) -> None:
        named = {name if name == "ROWS" else f"NIGHTMILL_{name}": text for name, text in overrides.items()}
        self._out = out
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.llm.answers", str(out)],
            cwd=REPOSITORY,
            env=os.environ | environ | named,
        )

    def result(self) -> Answers:
        """Wait for it."""
        assert self.process.wait() == 0
        return Answers(**json.loads(self._out.read_text("utf-8")))


@pytest.fixture
def start_asking(engine_environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Asking]]:
    """`start_asking(**settings)`: a running answers.py, killed when the test ends."""
    started: list[Asking] = []

    def start(**overrides: str) -> Asking:
        started.append(Asking(engine_environ, tmp_path / f"answers-{len(started)}.json", overrides))
        return started[-1]

    yield start
    for asking in started:
        asking.process.kill()
        asking.process.wait()


@pytest.fixture(scope="package")
def served_answers(
    engine_environ: dict[str, str], engine_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """What the night's own server says to the questions of answers.py."""
    return Asking(engine_environ, tmp_path_factory.mktemp("served") / "answers.json", {}).result()
