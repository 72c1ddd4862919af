"""The store of answers: atomic parts, lookup by key, damage named."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_store.errors import NightmillError
from jobs.llm.generations import Generation, Generations
from jobs.llm.request import Answer, Request

from .conftest import make_request


def answer(request: Request, text: str = "{}") -> tuple[Request, Answer]:
    return request, Answer(request.key, text, "stop", 10, 4, 2)


def test_what_was_added_is_found_by_its_key(tmp_path: Path) -> None:
    store = Generations(tmp_path)
    one, two, three = (make_request(f"e{n}") for n in (1, 2, 3))
    choice = make_request("e4", schema=None, choices=("A", "B"))
    store.add([answer(one, "1"), answer(two, "2")])
    store.add([(choice, Answer(choice.key, "A", "length", choice_probabilities={"A": 0.75, "B": 0.25}))])
    assert store.find("ask_tag", [one.key, three.key, choice.key]) == {
        one.key: Generation(one.key, "1", "stop", None),
        choice.key: Generation(choice.key, "A", "length", {"A": 0.75, "B": 0.25}),
    }


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    assert Generations(tmp_path).find("ask_tag", ["k"]) == {}
    assert Generations(tmp_path).find("ask_tag", []) == {}


def test_of_two_answers_to_one_key_the_first_counts(tmp_path: Path) -> None:
    store, request = Generations(tmp_path), make_request()
    store.add([answer(request, "first")])
    store.add([answer(request, "second")])
    assert store.find("ask_tag", [request.key])[request.key].text == "first"


def test_rows_say_where_they_come_from_and_what_they_cost(tmp_path: Path) -> None:
    (row,) = pq.read_table(Generations(tmp_path).add([answer(make_request())])).to_pylist()
    assert row["prompt_name"] == "ask_tag"
    assert row["model_id"] == "fake"
    assert (row["prompt_tokens"], row["cached_tokens"], row["output_tokens"]) == (10, 4, 2)


def test_a_write_that_fails_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("feature_store.partitions.sync", full)
    store, request = Generations(tmp_path), make_request()
    with pytest.raises(OSError, match="No space left"):
        store.add([answer(request)])
    assert list((tmp_path / "generations" / "ask_tag").iterdir()) == []


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store, request = Generations(tmp_path), make_request()
    store.add([answer(request)])
    damaged = store.add([answer(make_request("e2"))])
    damaged.write_bytes(b"PAR1 not any more")
    with pytest.raises(NightmillError, match=f"{damaged.name} is damaged; remove it and run again"):
        store.find("ask_tag", [request.key])
