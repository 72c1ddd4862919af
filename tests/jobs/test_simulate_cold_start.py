"""simulate_cold_start: which questions a night asks, and what the two answers to one become."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import ingest, simulate_cold_start
from jobs.llm import fake_engine
from jobs.llm.ask import Outcome
from jobs.llm.fake_engine import Fault
from jobs.llm.request import Request
from jobs.recommender.synthetic import Question
from jobs.recommender.synthetic_judge import Answered, Judge
from jobs.step import execute

DS = date(1998, 1, 2)
Publish = Callable[..., None]
Judging = Callable[[Question], float]


def unit(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


@pytest.fixture
def settings(make_settings: Callable[..., Settings], publish: Publish) -> Settings:
    """A night with vectors: m3 and m4 are cold (at most one event), ann is near m3 and bob near m4."""
    made = make_settings(
        GENERATION__ENGINE="fake",
        COLD_START__ENABLED="always",
        COLD_START__MAX_EVENTS="1",
        COLD_START__USERS_PER_ITEM="1",
    )
    execute(ingest.JOB, DS, made)
    embed(publish, made, {"m1": 0, "m2": 45, "m3": 90, "m4": 180}, {"ann": 80, "bob": 170})
    return made


def embed(
    publish: Publish, settings: Settings, items: dict[str, float], users: dict[str, float], model: str = "m"
) -> None:
    item_rows = [{"item_id": i, "embedding": unit(at), "model_id": "m"} for i, at in items.items()]
    user_rows = [{"user_id": u, "embedding": unit(at), "model_id": model} for u, at in users.items()]
    publish(settings, "embed", DS, {"item_embeddings": item_rows, "user_embeddings": user_rows})


USERS = [f"u{n:02}" for n in range(20)]


@pytest.fixture
def crowd(make_settings: Callable[..., Settings], publish: Publish) -> Callable[..., Settings]:
    """`crowd(...)`: 20 users took one of the warm a0 .. a3 and then another one; c0 .. c2 are cold."""

    def make(attributes: str = "{}", **overrides: str) -> Settings:
        settings = make_settings(GENERATION__ENGINE="fake", **overrides)
        events = [
            {"user_id": user, "item_id": f"a{(n + day) % 4}", "weight": 1.0, "event_type": "event"}
            | {"event_time": datetime(1998, 1, 1 + day, tzinfo=UTC)}
            for n, user in enumerate(USERS)
            for day in range(2)
        ]
        items = [{"item_id": item, "title": f"Title of {item}"} for item in ("a0", "a1", "a2", "a3")]
        items += [{"item_id": item, "title": f"Title of {item}"} for item in ("c0", "c1", "c2")]
        users = [{"user_id": user, "attributes": attributes} for user in USERS]
        publish(settings, "ingest", DS, {"interactions": events, "items": items, "users": users})
        places = {row["item_id"]: 10.0 * n for n, row in enumerate(items)}
        embed(publish, settings, places, {user: float(n) for n, user in enumerate(USERS)})
        return settings

    return make


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[[Judging], list[list[Question]]]:
    """`judge(f)`: from now on f says with which probability the user takes `item`; gets what is asked."""

    def install(probability: Judging) -> list[list[Question]]:
        asked: list[list[Question]] = []

        def ask(self: Judge, questions: list[Question]) -> list[Answered]:
            asked.append(list(questions))
            return [answered(self, question) for question in questions]

        def answered(self: Judge, question: Question) -> Answered:
            says = probability(question)
            both = ((self._request(question, False), says), (self._request(question, True), 1 - says))
            return Answered(question, *(Outcome(request, {"first": first}) for request, first in both))

        monkeypatch.setattr(Judge, "ask", ask)
        return asked

    return install


def run(settings: Settings) -> Partition:
    # The gate takes most of a test's time; one test has it.
    with patch("feature_store.gates.check", return_value=[]), patch("feature_store.catalog.rewrite"):
        execute(simulate_cold_start.JOB, DS, settings)
    return published(settings)


def published(settings: Settings) -> Partition:
    partition = Store(settings.data_root).published("synthetic_interactions", DS)
    assert partition is not None
    return partition


def rows_of(partition: Partition) -> list[dict[str, Any]]:
    return read("synthetic_interactions", partition.files).to_pylist()


def test_both_orders_are_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def note(request: Request) -> None:
        seen[request.entity_id] = request.messages[-1]["content"]

    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (note, 0.0))
    manifest = run(settings).manifest
    assert len(seen) == manifest["counts"]["requests"] == 2 * manifest["counts"]["selected"]
    for entity, text in seen.items():
        user, first, second = entity.split("|")
        assert f"{user}|{second}|{first}" in seen
        assert text.startswith("<items>\nLiked:\n- Toy Story (Animation, Comedy)\nNew:\nA: ")


def test_every_question_has_one_outcome_and_only_cold_items_are_preferred(settings: Settings) -> None:
    execute(simulate_cold_start.JOB, DS, settings)
    partition = published(settings)
    counts, rows = partition.manifest["counts"], rows_of(partition)
    assert counts["written"] + counts["disagreed"] == counts["selected"]
    assert len(rows) == counts["written"]
    assert partition.manifest["provenance"]["agreement_rate"] == counts["written"] / counts["selected"]
    for row in rows:
        assert {row["item_id"], row["other_item_id"]} <= {"m2", "m3", "m4"}
        assert row["source"] == "cold_item"
        assert row["margin"] > 0
        assert row["generation_key"] != row["other_generation_key"]
        assert row["input_max_event_time"] < row["as_of"]


def test_a_question_with_a_refused_answer_is_quarantined(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (lambda _: Fault.ERROR, 0.0))
    manifest = run(settings).manifest
    assert manifest["rows"]["quarantined"] == {"engine_error": manifest["counts"]["selected"]}
    assert manifest["rows"]["written"] == 0


@pytest.mark.parametrize("overrides", [{"COLD_START__ITEMS": "0"}, {"COLD_START__PAIRS": "0"}])
def test_without_cold_items_nothing_is_asked(
    make_settings: Callable[..., Settings], settings: Settings, overrides: dict[str, str]
) -> None:
    none = make_settings(GENERATION__ENGINE="fake", COLD_START__ENABLED="always", **overrides)
    assert run(none).manifest["rows"]["written"] == 0


@pytest.mark.parametrize("off", ["never", "none"])
def test_without_a_model_or_where_it_is_not_wanted_nobody_is_asked(settings: Settings, off: str) -> None:
    section, key = ("cold_start", "enabled") if off == "never" else ("generation", "engine")
    changed = getattr(settings, section).model_copy(update={key: off})
    without = settings.model_copy(update={section: changed})
    execute(simulate_cold_start.JOB, DS, without, shard=(1, 2))
    assert not list(settings.data_root.glob("tables/synthetic_interactions/**/part-*"))
    partition = run(without)
    assert rows_of(partition) == []
    assert partition.manifest["notes"][0].startswith("nothing to ask: ")


def test_users_with_vectors_of_another_model_are_not_asked(settings: Settings, publish: Publish) -> None:
    embed(publish, settings, {"m2": 0, "m3": 90, "m4": 180}, {"ann": 80}, model="another")
    manifest = run(settings).manifest
    assert "items have vectors of m and users of another" in manifest["notes"][0]
    assert manifest["counts"].get("requests", 0) == 0


def test_a_catalogue_nobody_has_touched_and_no_user_with_a_vector(
    settings: Settings, publish: Publish
) -> None:
    embed(publish, settings, {"m2": 0, "m3": 90, "m4": 180}, {})
    partition = run(settings)
    assert rows_of(partition) == []
    assert "3 cold items, 0 users" in partition.manifest["notes"][0]


# -- what a judge's word is worth ------------------------------------------------------------------


def test_an_oracle_is_asked_about_cold_items_and_believed(crowd: Any, judge: Any) -> None:
    settings = crowd()
    asked = judge(lambda question: 0.9)
    partition = run(settings)
    tests, questions = asked
    assert {question.source for question in tests} == {"check"}
    assert len(tests) == len(USERS)
    assert {question.source for question in questions} == {"cold_item"}
    said = partition.manifest["provenance"]
    assert (said["checks"], said["checks_right"], said["judge_accuracy"]) == (20, 20, 1.0)
    assert said["judge_verdict"] == "knows something"
    rows = rows_of(partition)
    assert len(rows) == len(questions)
    # 20 of 20 at one margin: P(right) is 21/22
    assert [row["confidence"] for row in rows] == pytest.approx([2 * 21 / 22 - 1] * len(rows))
    counts = partition.manifest["counts"]
    assert counts["selected"] == counts["written"] + counts["disagreed"] + counts["checks"]


def test_a_coin_is_asked_nothing_more(crowd: Any, judge: Any) -> None:
    settings = crowd()
    asked = judge(lambda question: 0.9 if int(question.user_id[1:]) % 2 else 0.1)
    partition = run(settings)
    assert len(asked) == 1
    assert rows_of(partition) == []
    assert partition.manifest["provenance"]["judge_verdict"] == "knows nothing"
    assert "were not asked" in partition.manifest["notes"][-1]


def test_a_coin_that_is_always_asked_has_confidence_0(crowd: Any, judge: Any) -> None:
    asked = judge(lambda question: 0.9 if int(question.user_id[1:]) % 2 else 0.1)
    rows = rows_of(run(crowd(COLD_START__ENABLED="always")))
    assert len(asked) == 1
    assert rows
    assert {row["confidence"] for row in rows} == {0.0}


def test_a_judge_nobody_could_check_is_not_asked(crowd: Any, judge: Any) -> None:
    asked = judge(lambda question: 0.9)
    partition = run(crowd(COLD_START__CHECK_PAIRS="0"))
    assert asked == [[]]
    assert "could not be checked" in partition.manifest["notes"][-1]


def test_the_answer_to_a_check_is_not_shown(crowd: Any, judge: Any) -> None:
    asked = judge(lambda question: 0.1)
    run(crowd())
    (tests,) = asked
    for test in tests:
        number = USERS.index(test.user_id)
        # the newest item is asked about, the one before it is shown, the other two were never taken
        assert test.item == f"a{(number + 1) % 4}"
        assert test.history == (f"a{number % 4}",)
        assert test.other in {f"a{(number + 2) % 4}", f"a{(number + 3) % 4}"}


def test_a_shard_asks_its_share_of_the_checks_and_publishes_nothing(crowd: Any) -> None:
    settings = crowd()
    execute(simulate_cold_start.JOB, DS, settings, shard=(1, 1))
    assert Store(settings.data_root).published("synthetic_interactions", DS) is None
    counts = run(settings).manifest["counts"]
    # all checks were answered by the shard
    assert counts["cached"] == counts["requests"] == 2 * len(USERS)


def test_new_users_are_told_by_their_attributes(crowd: Any, judge: Any) -> None:
    asked = judge(lambda question: 0.9)
    told = json.dumps({"occupation": "writer", "age_group": "25-34"})
    partition = run(crowd(told, COLD_START__NEW_USERS="20"))
    new = [question for question in asked[1] if question.source == "new_user"]
    assert all(set(question.history).isdisjoint((question.item, question.other)) for question in new)
    # an age is nobody's business
    assert {question.about for question in new} == {("occupation: writer",)}
    assert {row["source"] for row in rows_of(partition)} == {"cold_item", "new_user"}
