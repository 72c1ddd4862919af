"""What answers cost, and a budget that holds."""

from datetime import date
from pathlib import Path

import pytest

from feature_store.errors import NightmillError
from feature_store.sections import Price
from jobs.llm.ledger import Account, Entry, Ledger, cost, expected_tokens
from jobs.llm.request import Answer, SamplingRef

from .conftest import make_request

DS = date(1998, 1, 2)
ENTRY = Entry(DS.isoformat(), "job", "run", "ask_tag", "tiny", "fake")


def test_entries_are_read_back_by_night(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    account = Account(ledger, ENTRY, 0)
    account.open()
    account.add(Answer("k", prompt_tokens=10, cached_tokens=4, output_tokens=3))
    account.write()
    (entry,) = ledger.entries(DS)
    assert (entry.asked, entry.prompt_tokens, entry.cached_tokens, entry.output_tokens) == (1, 10, 4, 3)
    assert entry.tokens == 13
    assert ledger.entries(date(1998, 1, 3)) == []
    assert ledger.entries() == [entry]


def test_cost_counts_cached_tokens_at_their_own_price() -> None:
    entry = Entry(**{**ENTRY.__dict__, "prompt_tokens": 3_000_000, "cached_tokens": 1_000_000})
    assert cost([entry], Price(currency="EUR", read=2, cached=1, written=9)) == 2 * 2 + 1
    assert cost([entry], Price(currency="EUR", read=0, cached=0, written=0)) is None


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "ds=1998-01-02" / "job-run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(NightmillError, match=r"job-run\.json is damaged"):
        Ledger(tmp_path).entries()


def test_requests_are_admitted_while_those_in_flight_leave_room(tmp_path: Path) -> None:
    # 30 bytes are 10 tokens, 8 for the turn, 12 for the answer: 30 a request
    requests = [make_request(f"e{n}", content="x" * 30, sampling=SamplingRef(12)) for n in range(4)]
    assert expected_tokens(requests[0]) == 30
    requests = [make_request(f"e{n}", content=str(n) * 30, sampling=SamplingRef(12)) for n in range(5)]
    account = Account(Ledger(tmp_path), ENTRY, 70)
    account.open()
    assert [account.admits(request) for request in requests[:3]] == [True, True, False]
    # it took 15, not 30: the other in flight will take 15 more, and there is room for two of 15
    account.add(Answer(requests[0].key, prompt_tokens=10, output_tokens=5))
    assert [account.admits(request) for request in requests[2:]] == [True, True, False]


def test_what_was_in_a_dead_engine_is_not_counted_twice(tmp_path: Path) -> None:
    request = make_request("e", content="x" * 30, sampling=SamplingRef(12))
    account = Account(Ledger(tmp_path), ENTRY, 40)
    account.open()
    assert account.admits(request)
    assert account.admits(request)


def test_what_others_spent_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(Entry(**{**ENTRY.__dict__, "run_id": "other", "prompt_tokens": 50}))
    account = Account(ledger, ENTRY, 70)
    account.open()
    assert not account.admits(make_request("e", content="x" * 30, sampling=SamplingRef(12)))
    assert Account(ledger, ENTRY, 0).admits(make_request("e"))


def test_a_job_that_asks_a_second_time_goes_on_with_its_account(tmp_path: Path) -> None:
    ledger, request = Ledger(tmp_path), make_request("e", content="x" * 30, sampling=SamplingRef(12))
    assert ledger.begun(ENTRY) == ENTRY
    first = Account(ledger, ENTRY, 70)
    first.open()
    first.add(Answer("k", prompt_tokens=40, output_tokens=10))
    first.write()
    second = Account(ledger, ledger.begun(ENTRY), 70)
    second.open()
    # 50 of 70 are spent, and a request may take 30; what earlier ones took says nothing of its length
    assert not second.admits(request)
    second.add(Answer("l", prompt_tokens=1))
    second.write()
    (entry,) = ledger.entries(DS)
    assert (entry.asked, entry.tokens) == (2, 51)


def test_the_newest_nights_tell_what_a_request_takes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for day, run, asked, prompt in ((1, "a", 1, "p"), (2, "b", 2, "p"), (3, "c", 3, "p"), (4, "d", 4, "q")):
        changes = {"ds": f"1998-01-0{day}", "run_id": run, "asked": asked, "prompt_name": prompt}
        ledger.write(Entry(**{**ENTRY.__dict__, **changes}))
    assert [entry.run_id for entry in ledger.recent("p", "tiny", 2)] == ["c", "b"]
    assert ledger.recent("p", "other", 2) == []
