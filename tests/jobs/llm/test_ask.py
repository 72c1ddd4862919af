"""Nothing asked twice, nothing lost, one outcome for each row."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from jobs.llm.ask import Outcome, ask, in_shard
from jobs.llm.engine import EngineDied, Model
from jobs.llm.fake_engine import FakeEngine, Fault
from jobs.llm.generations import Generations
from jobs.llm.ledger import Ledger
from jobs.llm.request import Answer, ModelRef, PromptRef, Request, SamplingRef
from jobs.night import Night

from .conftest import SCHEMA, make_request

Nights = Callable[..., Night]


def read(request: Request, value: Any) -> Mapping[str, Any]:
    return {"id": request.entity_id, "tag": value["tag"]}


class Opened:
    """Opens one engine again and again, and counts."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.times = engine, 0

    @contextmanager
    def __call__(self) -> Iterator[FakeEngine]:
        self.times += 1
        yield self.engine
        self.engine.close()


def run(night: Night, model: Model, requests: Sequence[Request], opened: Opened) -> list[Outcome]:
    return ask(night, requests, read, model, "asking", opened)


def test_every_row_has_its_outcome_in_order(night: Nights, model: Model) -> None:
    requests = [make_request(f"e{n}") for n in (3, 1, 2)]
    tonight = night()
    outcomes = run(tonight, model, requests, Opened(FakeEngine()))
    assert [outcome.values and outcome.values["id"] for outcome in outcomes] == ["e3", "e1", "e2"]
    assert (tonight.counts["requests"], tonight.counts["asked"], tonight.counts["cached"]) == (3, 3, 0)


def test_equal_questions_are_asked_once(night: Nights, model: Model) -> None:
    opened, tonight = Opened(FakeEngine()), night()
    outcomes = run(tonight, model, [make_request(e, content="same") for e in ("e1", "e2")], opened)
    assert len(opened.engine.asked) == 1
    assert [outcome.values and outcome.values["id"] for outcome in outcomes] == ["e1", "e2"]
    assert (tonight.counts["asked"], tonight.counts["cached"]) == (1, 1)


def test_the_second_time_no_engine_is_opened(night: Nights, model: Model) -> None:
    opened = Opened(FakeEngine())
    requests = [make_request("e1"), make_request("e2")]
    first = run(night(), model, requests, opened)
    tonight = night()
    second = run(tonight, model, requests, opened)
    assert opened.times == 1
    assert [o.values for o in second] == [o.values for o in first]
    assert [o.reused for o in first + second] == [False, False, True, True]
    assert (tonight.counts["asked"], tonight.counts["cached"]) == (0, 2)


def test_a_changed_row_costs_one_question(night: Nights, model: Model) -> None:
    opened = Opened(FakeEngine())
    run(night(), model, [make_request("e1"), make_request("e2")], opened)
    changed = make_request("e2", content="What is e2 now?")
    run(night(), model, [make_request("e1"), changed], opened)
    assert opened.engine.asked[2:] == [changed.key]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.ERROR, "engine_error"),
        (Fault.SILENCE, "engine_error"),
        (Fault.EMPTY, "invalid_json"),
        (Fault.NOT_JSON, "invalid_json"),
        (Fault.WRONG_SCHEMA, "schema_mismatch"),
        (Fault.TRUNCATED, "truncated"),
    ],
)
def test_a_bad_answer_is_refused_and_the_others_are_not(
    night: Nights, model: Model, fault: Fault, reason: str
) -> None:
    engine = FakeEngine(lambda request: fault if request.entity_id == "e2" else None)
    outcomes = run(night(), model, [make_request(e) for e in ("e1", "e2", "e3")], Opened(engine))
    assert [outcome.reason for outcome in outcomes] == ["", reason, ""]


def test_an_answer_that_was_cut_off_is_asked_once_more_with_a_larger_cap(night: Nights, model: Model) -> None:
    engine = FakeEngine(lambda request: Fault.TRUNCATED if request.sampling.max_tokens == 16 else None)
    opened = Opened(engine)
    (outcome,) = run(night(), model, [make_request()], opened)
    assert outcome.values is not None
    assert outcome.request.sampling.max_tokens == 32
    run(night(), model, [make_request()], opened)
    assert engine.asked == [make_request().key, make_request().with_larger_cap().key]


def test_an_engine_error_is_asked_again_on_the_next_run(night: Nights, model: Model) -> None:
    run(night(), model, [make_request()], Opened(FakeEngine(lambda _: Fault.ERROR)))
    (outcome,) = run(night(), model, [make_request()], Opened(FakeEngine()))
    assert outcome.values is not None


def test_a_request_that_kills_the_engine_is_refused_and_the_others_are_answered(
    night: Nights, model: Model
) -> None:
    requests = [make_request(f"e{n}") for n in range(1, 9)]
    dying = Opened(FakeEngine(lambda request: Fault.DEATH if request.entity_id == "e4" else None))
    outcomes = run(night(), model, requests, dying)
    assert [o.reason for o in outcomes] == ["", "", "", "engine_error", "", "", "", ""]
    assert "kills the engine" in outcomes[3].detail
    assert len(set(dying.engine.asked)) == 8


def test_what_was_answered_before_the_last_engine_died_is_kept(night: Nights, model: Model) -> None:
    requests = [make_request(f"e{n}") for n in range(1, 6)]
    dying = FakeEngine(lambda request: Fault.DEATH if request.entity_id == "e4" else None)
    with pytest.raises(EngineDied, match=r"1 engines died; generation\.engine_restarts allows 0"):
        run(night(GENERATION__ENGINE_RESTARTS="0"), model, requests, Opened(dying))
    living = Opened(FakeEngine())
    outcomes = run(night(), model, requests, living)
    assert living.engine.asked == [requests[3].key, requests[4].key]
    assert all(outcome.values for outcome in outcomes)


def test_a_refused_answer_is_asked_once_more_with_another_seed(night: Nights, model: Model) -> None:
    engine = FakeEngine(lambda request: Fault.NOT_JSON if request.sampling.seed == 0 else None)
    tonight = night()
    (outcome,) = run(tonight, model, [make_request()], Opened(engine))
    assert outcome.values is not None
    assert (outcome.request.sampling.seed, outcome.request.sampling.temperature) == (1, 0.7)
    assert tonight.counts["retried"] == 1
    without = night(GENERATION__RETRY="false")
    (outcome,) = run(without, model, [make_request()], Opened(engine))
    assert outcome.reason == "invalid_json"


def test_the_first_refusal_stands_where_the_second_try_failed_otherwise(night: Nights, model: Model) -> None:
    engine = FakeEngine(lambda r: Fault.NOT_JSON if r.sampling.seed == 0 else Fault.ERROR)
    (outcome,) = run(night(), model, [make_request()], Opened(engine))
    assert outcome.reason == "invalid_json"
    assert outcome.raw == "Sure! Here it is:"


def test_what_it_will_take_is_said_before(night: Nights, model: Model) -> None:
    tonight = night()
    run(tonight, model, [make_request("e1")], Opened(FakeEngine()))
    # "What is e1?" has 11 bytes: 3 tokens and 8 for the turn; and 16 for the answer
    assert tonight.notes[0].startswith(
        "asking: 1 requests, 0 answered before (0%), 1 to ask: at most some 27 tokens"
    )
    second = night(GENERATION__PRICE__READ="1000000")
    run(second, model, [make_request("e1"), make_request("e2")], Opened(FakeEngine()))
    assert "2 requests, 1 answered before (50%), 1 to ask: about 3 tokens read" in second.notes[0]
    assert "3.00 USD (as the last 1 answers took)" in second.notes[0]


def test_every_run_has_its_entry_in_the_ledger(night: Nights, model: Model) -> None:
    tonight = night(shard=(1, 1))
    run(tonight, model, [make_request(f"e{n}") for n in range(3)], Opened(FakeEngine()))
    (entry,) = Ledger(tonight.store.root).entries(tonight.ds)
    assert (entry.asked, entry.prompt_tokens, entry.shard) == (3, 9, "1/1")
    assert entry.output_tokens == tonight.counts["output_tokens"]


def test_the_budget_of_a_night_holds_over_its_shards(night: Nights, model: Model) -> None:
    requests = [make_request(f"e{n}") for n in range(40)]
    spent = 0
    for k in (1, 2, 3):
        tonight = night(shard=(k, 3), GENERATION__BUDGET__TOKENS="100")
        tonight.run_id = f"run{k}"
        outcomes = run(tonight, model, requests, Opened(FakeEngine()))
        over = [o for o in outcomes if o.reason == "over_budget"]
        assert bool(tonight.incomplete) == bool(over)
        spent = sum(e.tokens for e in Ledger(tonight.store.root).entries(tonight.ds))
        assert spent <= 100
    assert spent > 60
    free = night()
    assert all(o.values for o in run(free, model, requests, Opened(FakeEngine())))


def test_probabilities_that_are_no_numbers_are_refused(night: Nights, model: Model) -> None:
    engine = FakeEngine(lambda _: Fault.NAN)
    request = make_request(schema=None, choices=("A", "B"))
    (outcome,) = run(night(), model, [request], Opened(engine))
    assert outcome.reason == "schema_mismatch"


def test_answers_reach_the_disk_every_flush_rows(night: Nights, model: Model) -> None:
    tonight = night(GENERATION__FLUSH_ROWS="2")
    run(tonight, model, [make_request(f"e{n}") for n in range(5)], Opened(FakeEngine()))
    assert len(list(tonight.store.root.glob("generations/ask_tag/part-*.parquet"))) == 3


def test_shards_are_disjoint_and_together_everything(night: Nights, model: Model) -> None:
    requests = [make_request(f"e{n}") for n in range(20)]
    opened = Opened(FakeEngine())
    shares = [
        {o.request.entity_id for o in run(night(shard=(k, 3)), model, requests, opened)} for k in (1, 2, 3)
    ]
    assert sum(map(len, shares)) == 20
    assert all(0 < len(share) < 20 for share in shares)
    assert set().union(*shares) == {request.entity_id for request in requests}
    run(night(), model, requests, opened)
    assert len(opened.engine.asked) == 20
    assert in_shard("anything", None)


def test_neighbours_share_their_prefix(night: Nights, model: Model) -> None:
    opened = Opened(FakeEngine())
    requests = [make_request(f"e{n}", content=text) for n, text in enumerate(["b 1", "a 1", "b 2", "a 2"])]
    run(night(), model, requests, opened)
    assert opened.engine.asked == [requests[n].key for n in (1, 3, 0, 2)]


def test_an_engine_that_answers_twice_is_a_defect(night: Nights, model: Model) -> None:
    class Stuttering(FakeEngine):
        def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
            for answer in super().generate(requests):
                yield from (answer, answer)

    with pytest.raises(NightmillError, match="twice or unasked"):
        run(night(), model, [make_request()], Opened(Stuttering()))


def test_two_requests_for_one_row_are_a_defect(night: Nights, model: Model) -> None:
    with pytest.raises(NightmillError, match="two requests for one row"):
        run(night(), model, [make_request("e1"), make_request("e1")], Opened(FakeEngine()))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=6))
def test_nights_in_any_order_pay_for_each_question_once(
    night: Nights, model: Model, nights: list[set[int]]
) -> None:
    opened, tonight = Opened(FakeEngine()), night()
    shutil.rmtree(tonight.store.root / "generations", ignore_errors=True)
    for entities in nights:
        requests = [make_request(f"e{n}") for n in sorted(entities)]
        assert all(o.values for o in run(tonight, model, requests, opened))
    assert sorted(opened.engine.asked) == sorted({make_request(f"e{n}").key for n in set().union(*nights)})


@pytest.mark.parametrize(
    "change",
    [
        {"model": ModelRef("other", "1")},
        {"model": ModelRef("fake", "2")},
        {"model": ModelRef("fake", "1", quantization="fp8")},
        {"model": ModelRef("fake", "1", adapter="tuned@abc")},
        {"sampling": SamplingRef(16, temperature=0.5)},
        {"schema": {**SCHEMA, "title": "another"}},
    ],
)
def test_what_can_change_an_answer_is_asked_anew_and_the_old_answer_stays(
    night: Nights, model: Model, change: dict[str, Any]
) -> None:
    opened = Opened(FakeEngine())
    for requests in ([make_request()], [make_request(**change)], [make_request()]):
        run(night(), model, requests, opened)
    assert opened.engine.asked == [make_request().key, make_request(**change).key]


def test_a_new_prompt_version_that_asks_the_same_is_the_same_question(night: Nights, model: Model) -> None:
    opened = Opened(FakeEngine())
    run(night(), model, [make_request()], opened)
    (outcome,) = run(night(), model, [make_request(prompt=PromptRef("ask_tag", "2", "other"))], opened)
    assert outcome.reused
    assert outcome.provenance["prompt_version"] == "2"
    assert len(opened.engine.asked) == 1


def test_many_parts_are_worth_a_word(night: Nights, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.llm.ask.MANY_PARTS", 1)
    for n in range(2):
        run(night(), model, [make_request(f"e{n}")], Opened(FakeEngine()))
    tonight = night()
    run(tonight, model, [make_request("e0")], Opened(FakeEngine()))
    assert tonight.notes == ["2 parts hold answers to ask_tag: `nightmill compact` makes this faster"]


def test_what_could_not_be_written_is_written_when_asking_ends(
    night: Nights, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, full = Generations.add, iter([True])

    def add_once_full(self: Generations, answered: Sequence[tuple[Request, Answer]]) -> Any:
        if next(full, False):
            raise OSError(ENOSPC, "No space left on device")
        return add(self, answered)

    monkeypatch.setattr(Generations, "add", add_once_full)
    tonight = night(GENERATION__FLUSH_ROWS="2")
    requests = [make_request(f"e{n}") for n in range(5)]
    with pytest.raises(OSError, match="No space left"):
        run(tonight, model, requests, Opened(FakeEngine()))
    assert len(Generations(tonight.store.root).find("ask_tag", [r.key for r in requests])) == 2
