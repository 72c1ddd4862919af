"""The store of answers: atomic parts, lookup by key, older parts, clocks."""

import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store
from feature_store.parts import new_part
from jobs.llm.generations import SCHEMA, Generation, Generations
from jobs.llm.request import Answer, ModelRef, Request, SamplingRef
from jobs.sql import query

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


def test_rows_hold_everything_that_shaped_the_answer(tmp_path: Path) -> None:
    request = make_request(
        model=ModelRef("fake", "1", "awq", "lora"), sampling=SamplingRef(16, 0.7, 3), cut_fields=("title",)
    )
    (row,) = pq.read_table(Generations(tmp_path).add([answer(request)])).to_pylist()
    later = ("quantization", "adapter", "max_tokens", "temperature", "seed", "cut_fields")
    assert [row[name] for name in later] == ["awq", "lora", 16, 0.7, 3, ["title"]]


def test_parts_written_before_a_column_was_thought_of_are_read(tmp_path: Path) -> None:
    store, old, new = Generations(tmp_path), make_request("old"), make_request("new")
    part = store.add([answer(old, "1")])
    pq.write_table(pq.read_table(part).select(SCHEMA.names[:14]), part)
    store.add([answer(new, "2")])
    assert sorted(g.text for g in store.find("ask_tag", [old.key, new.key]).values()) == ["1", "2"]
    statement = "SELECT text, seed, cut_fields FROM generations ORDER BY text"
    assert json.loads(query(Store(tmp_path), statement, "json")) == [
        {"text": "1", "seed": None, "cut_fields": None},
        {"text": "2", "seed": 0, "cut_fields": []},
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain", "plain"),
        ("a\ud83d\ude00b", "a\N{GRINNING FACE}b"),
        ("cut \ud83d", "cut \ufffd"),
        ("\udc00x\ud800\ufeff\0", "\ufffdx\ufffd\ufeff\0"),
    ],
)
def test_text_that_utf8_cannot_hold_is_stored_with_replacements(tmp_path: Path, said: str, kept: str) -> None:
    store, request = Generations(tmp_path), make_request()
    store.add([answer(request, said)])
    assert store.find("ask_tag", [request.key])[request.key].text == kept


def test_missing_names_the_keys_without_an_answer(tmp_path: Path) -> None:
    store, one, two = Generations(tmp_path), make_request("e1"), make_request("e2")
    assert store.missing("ask_tag", [one.key, two.key]) == {one.key, two.key}
    store.add([answer(one)])
    assert store.missing("ask_tag", [one.key, two.key]) == {two.key}


class Clock(datetime):
    """A clock that says what it is told, one moment after the other, and then stands still."""

    moments: ClassVar[list[datetime]] = []

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return cls.moments.pop(0) if len(cls.moments) > 1 else cls.moments[0]


@pytest.mark.parametrize("hours", [(0, -5, 7), (0, 7, -5), (7, 0, -5), (0, 0, 0)])
def test_a_clock_that_jumps_or_stands_still_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: tuple[int, ...]
) -> None:
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(hours=n) for n in hours]
    monkeypatch.setattr("jobs.llm.generations.datetime", Clock)
    monkeypatch.setattr("feature_store.parts.datetime", Clock)
    store, same = Generations(tmp_path), make_request("same")
    for n, moment in enumerate(moments):
        monkeypatch.setattr(Clock, "moments", [moment])
        store.add([answer(same, f"at {moment.hour:02}, {n}"), answer(make_request(f"e{n}"))])
    found = store.find("ask_tag", [same.key, *(make_request(f"e{n}").key for n in range(3))])
    assert len(store.parts("ask_tag")) == 3
    assert len(found) == 4
    # By the clocks of those who answered, which is all there is to go by; where they tie, by the text.
    assert found[same.key].text == min((m, f"at {m.hour:02}, {n}") for n, m in enumerate(moments))[1]


def test_names_of_parts_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_store.parts.datetime", Clock)
    monkeypatch.setattr(Clock, "moments", [datetime(2026, 1, 1, tzinfo=UTC)])
    assert len({new_part(tmp_path) for _ in range(10_000)}) == 10_000


def test_a_write_that_fails_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("feature_store.parts.sync", full)
    store, request = Generations(tmp_path), make_request()
    with pytest.raises(OSError, match="No space left"):
        store.add([answer(request)])
    assert list((tmp_path / "generations" / "ask_tag").iterdir()) == []
