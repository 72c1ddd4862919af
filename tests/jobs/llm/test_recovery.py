"""Answers in spite of engines that die."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.llm.engine import EngineDied
from jobs.llm.fake_engine import FakeEngine, Fault
from jobs.llm.recovery import ALONE, answers
from jobs.llm.request import Request

from .conftest import make_request


class Engines:
    """Opens a new fake engine after each death, and counts."""

    def __init__(self, killers: set[str], always: Callable[[Request], bool] = lambda _: False) -> None:
        self.killers, self.always, self.opened = killers, always, 0

    @contextmanager
    def __call__(self) -> Iterator[FakeEngine]:
        self.opened += 1
        yield FakeEngine(lambda r: Fault.DEATH if r.entity_id in self.killers or self.always(r) else None)


def asked(engines: Engines, requests: Sequence[Request], restarts: int = 99) -> dict[str, str | None]:
    """Error, or None, by entity; each is answered once."""
    found = list(answers(engines, requests, restarts, lambda _: None))
    assert sorted(r.entity_id for r, _ in found) == sorted(r.entity_id for r in requests)
    return {request.entity_id: answer.error for request, answer in found}


def test_without_deaths_one_engine_answers_all() -> None:
    engines = Engines(set())
    assert set(asked(engines, [make_request(f"e{n}") for n in range(5)]).values()) == {None}
    assert engines.opened == 1


def test_nothing_to_ask_opens_nothing() -> None:
    engines = Engines(set())
    assert asked(engines, []) == {}
    assert engines.opened == 0


@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=4))
def test_whatever_kills_is_refused_and_nothing_else(size: int, killers: set[int]) -> None:
    requests = [make_request(f"e{n}") for n in range(size)]
    errors = asked(Engines({f"e{n}" for n in killers}), requests)
    assert {entity for entity, error in errors.items() if error} == {f"e{n}" for n in killers if n < size}


def test_a_death_that_does_not_come_back_refuses_nothing() -> None:
    deaths = iter([True])
    engines = Engines(set(), lambda r: r.entity_id == "e2" and next(deaths, False))
    assert set(asked(engines, [make_request(f"e{n}") for n in range(4)]).values()) == {None}
    assert engines.opened == 2


def test_a_request_alone_in_a_dead_engine_has_another_chance() -> None:
    engines = Engines({"e0"})
    errors = asked(engines, [make_request("e0")])
    assert errors["e0"] == "it kills the engine: the fake engine was told to die"
    assert engines.opened == ALONE


def test_engines_that_all_die_end_the_run() -> None:
    engines = Engines(set(), lambda _: True)
    with pytest.raises(EngineDied, match=r"4 engines died; generation\.engine_restarts allows 3"):
        asked(engines, [make_request(f"e{n}") for n in range(9)], restarts=3)
    assert engines.opened == 4


def test_no_more_is_taken_than_is_admitted() -> None:
    room = iter([True, True, False, False])
    stream = answers(
        Engines(set()), [make_request(f"e{n}") for n in range(5)], 0, print, lambda _: next(room)
    )
    assert [request.entity_id for request, _ in stream] == ["e0", "e1"]
