"""Asking while processes die, disks fill up and others ask the same: nothing lost, nothing paid for twice."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store import parts
from feature_store.contract import GENERATIONS_SCHEMA
from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs import compact
from jobs.llm.ask import Outcome, ask
from jobs.llm.engine import find_model
from jobs.llm.fake_engine import FakeEngine
from jobs.llm.generations import Generations
from jobs.llm.request import Answer, Request
from jobs.night import Night

from .conftest import make_request

REQUESTS = [make_request(f"e{n}") for n in range(300)]
FLUSH = 16
IN_FLIGHT = 1
TIMES = ("created_at", "seconds")


@pytest.fixture
def flushing(make_settings: Callable[..., Settings]) -> Settings:
    """Settings that write a part every 16 answers."""
    return make_settings(GENERATION__ENGINE="fake", GENERATION__FLUSH_ROWS=str(FLUSH))


class Recording(FakeEngine):
    """An engine that writes down what it was paid for, where a kill cannot reach it."""

    def __init__(self, log: Path, before: Callable[[Request], None] = lambda _: None) -> None:
        super().__init__()
        self._log, self._before = log, before

    def step(self) -> list[Answer]:
        """Answer the request that has waited longest."""
        if self._queue:
            self._before(self._queue[0])
            with open(self._log, "a") as log:
                log.write(f"{self._queue[0].key}\n")
        return super().step()


def asked(
    root: Path, settings: Settings, run: str, before: Callable[[Request], None] = lambda _: None
) -> list[Outcome]:
    """The outcomes of asking about every request, with a fake engine."""

    @contextmanager
    def opened() -> Iterator[FakeEngine]:
        yield Recording(root / "asked.txt", before)

    root.mkdir(exist_ok=True)
    night = Night(date(1998, 1, 2), settings, Store(root), {}, run)
    return ask(night, REQUESTS, read, find_model(settings), "asking", opened)


def read(request: Request, value: Any) -> Mapping[str, Any]:
    return {"id": request.entity_id, **value}


def rows(root: Path) -> list[dict[str, Any]]:
    """The stored rows by key, without the columns that tell time."""
    found = [
        row for part in Generations(root).parts("ask_tag") for row in pq.ParquetFile(part).read().to_pylist()
    ]
    return sorted(
        ({k: v for k, v in row.items() if k not in TIMES} for row in found), key=lambda row: row["key"]
    )


def paid(root: Path) -> Counter[str]:
    """How often each key was asked, over all runs."""
    return Counter((root / "asked.txt").read_text().split())


def in_child(work: Callable[[], object]) -> int:
    """The exit code of `work` in a process of its own."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def dying(deadly: int, work: Callable[[], object]) -> None:
    """Do `work` and be killed at the n-th step that asks the engine or touches the disk."""
    steps = iter(range(1, 1_000_000))

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return step

    places = ((pq, "write_table"), (parts, "sync"), (os, "replace"), (FakeEngine, "step"), (Path, "unlink"))
    for place, name in places:
        setattr(place, name, counted(getattr(place, name)))
    work()


def test_runs_killed_at_twenty_points_end_as_one_that_was_not(tmp_path: Path, flushing: Settings) -> None:
    whole = tmp_path / "whole"
    asked(whole, flushing, "run")
    expected, chance = rows(whole), random.Random(3)
    for point in range(20):
        root, deaths, killed = tmp_path / str(point), 0, True
        while killed:
            work = partial(asked, root, flushing, f"run{deaths}")
            code = in_child(partial(dying, chance.randrange(1, 400), work))
            assert code in (0, -signal.SIGKILL)
            killed = code != 0
            deaths += killed
        assert deaths
        assert rows(root) == expected
        assert not list(root.glob("generations/*/damaged"))
        assert paid(root).keys() == paid(whole).keys()
        assert paid(root).total() <= len(REQUESTS) + deaths * (FLUSH + IN_FLIGHT)
        shutil.rmtree(root)


def test_two_processes_that_ask_the_same_agree(tmp_path: Path, flushing: Settings) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()

    def work(who: int) -> None:
        barrier.wait(60)
        outcomes = asked(tmp_path / "data", flushing, f"run{who}")
        results.put([(o.request.entity_id, o.values, o.reason) for o in outcomes])

    processes = [context.Process(target=work, args=(who,)) for who in range(2)]
    for process in processes:
        process.start()
    one, two = results.get(timeout=120), results.get(timeout=120)
    for process in processes:
        process.join(60)
    assert one == two
    assert [name for name, values, _ in one if values] == [r.entity_id for r in REQUESTS]
    stored = Counter(row["key"] for row in rows(tmp_path / "data"))
    assert stored == paid(tmp_path / "data")
    assert set(stored.values()) <= {1, 2}


def test_where_two_were_paid_both_get_the_same_answer_from_then_on(tmp_path: Path) -> None:
    def work(who: int) -> None:
        for n in range(0, 40, 4):
            answers = [(r, Answer(r.key, f"said by {who}", "stop")) for r in REQUESTS[n : n + 4]]
            Generations(tmp_path).add(answers)

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(who,)) for who in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    keys = [request.key for request in REQUESTS[:40]]
    found = Generations(tmp_path).find("ask_tag", keys)
    assert len(found) == 40
    assert len(rows(tmp_path)) == 80
    with patch.object(compact, "rewrite"):
        compact.compact(Store(tmp_path))
    assert Generations(tmp_path).find("ask_tag", keys) == found
    assert len(rows(tmp_path)) == 80


def test_a_disk_that_is_full_in_mid_flush_keeps_what_was_there(tmp_path: Path, flushing: Settings) -> None:
    write, flushes = pq.write_table, iter(range(1_000))

    def full(table: Any, path: Path, **options: Any) -> None:
        write(table, path, **options)
        if next(flushes) >= 3:
            os.truncate(path, 1_000)
            raise OSError(28, "No space left on device", str(path))

    root = tmp_path / "data"
    with patch.object(pq, "write_table", full), pytest.raises(OSError, match="No space left"):
        asked(root, flushing, "run1")
    assert len(rows(root)) == 3 * FLUSH
    assert {path.name[:5] for path in (root / "generations" / "ask_tag").iterdir()} == {"part-"}
    assert all(outcome.values for outcome in asked(root, flushing, "run2"))
    assert paid(root).total() <= len(REQUESTS) + FLUSH + IN_FLIGHT
    assert len(rows(root)) == len(REQUESTS)


def test_a_file_that_may_not_grow_keeps_what_was_there(tmp_path: Path, flushing: Settings) -> None:
    """The kernel itself ends the write in the middle of a page."""
    root = tmp_path / "data"

    def limit(request: Request) -> None:
        if len(Generations(root).parts("ask_tag")) == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))

    assert in_child(lambda: asked(root, flushing, "run1", limit)) == 1
    assert len(rows(root)) == 4 * FLUSH
    assert {path.name[:5] for path in (root / "generations" / "ask_tag").iterdir()} == {"part-"}
    assert all(outcome.values for outcome in asked(root, flushing, "run2"))
    assert len(rows(root)) == len(REQUESTS)


# -- any order of anything -----------------------------------------------------------------------

KEYS = {name: make_request(name) for name in "abcdef"}
ADD = st.tuples(st.just("add"), st.sets(st.sampled_from(sorted(KEYS)), min_size=1, max_size=4))
DAMAGE = st.tuples(st.just("damage"), st.integers(0, 9), st.sampled_from([b"", b"PAR1 no more PAR1", None]))
FLIP = st.tuples(st.just("flip"), st.integers(0, 9), st.floats(0, 0.999), st.integers(0, 7))
STEPS = st.lists(st.one_of(ADD, ADD, DAMAGE, FLIP, st.just(("compact",))), max_size=12)


class Expected:
    """A store, and beside it what must be in it: the answers of each part, numbered as they were given."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.given = root, Generations(root), 0
        self.answers: dict[Path, list[tuple[str, int]]] = {}

    def add(self, names: set[str]) -> None:
        self.given += 1
        answers = [(KEYS[n], Answer(KEYS[n].key, str(self.given), "stop")) for n in sorted(names)]
        self.answers[self.store.add(answers)] = [(name, self.given) for name in sorted(names)]

    def compact(self) -> None:
        compact.compact(Store(self.root))
        self._settle()

    def damage(self, which: int, raw: bytes | None) -> None:
        if self.answers:
            part = sorted(self.answers)[which % len(self.answers)]
            part.write_bytes(part.read_bytes()[:-9] if raw is None else raw)
            del self.answers[part]

    def flip(self, which: int, where: float, bit: int) -> None:
        """One bit: either nothing that matters, or damage. Never another answer."""
        if self.answers:
            part = sorted(self.answers)[which % len(self.answers)]
            raw = bytearray(part.read_bytes())
            raw[int(where * len(raw))] ^= 1 << bit
            part.write_bytes(raw)
            parts.set_aside_damaged([part.parent], GENERATIONS_SCHEMA)
            if not part.exists():
                del self.answers[part]

    def _settle(self) -> None:
        listed = self.store.parts("ask_tag")
        merged = [part for part in listed if part not in self.answers]
        assert len(merged) <= 1
        if merged:
            self.answers[merged[0]] = [
                answer
                for part in list(self.answers)
                if part not in listed
                for answer in self.answers.pop(part)
            ]

    def check(self) -> None:
        wanted: dict[str, int] = {}
        for name, number in sorted(chain(*self.answers.values()), key=lambda answer: answer[1]):
            wanted.setdefault(KEYS[name].key, number)
        keys = [request.key for request in KEYS.values()]
        assert {k: g.text for k, g in self.store.find("ask_tag", keys).items()} == {
            key: str(number) for key, number in wanted.items()
        }
        assert self.store.missing("ask_tag", keys) == set(keys) - set(wanted)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_order_of_events_loses_an_undamaged_answer_or_finds_a_wrong_one(
    tmp_path: Path, steps: list[tuple[Any, ...]]
) -> None:
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    expected = Expected(tmp_path / "data")
    with patch.object(compact, "rewrite"):
        for name, *values in steps:
            getattr(expected, name)(*values)
            expected.check()
