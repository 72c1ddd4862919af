"""simulate_cold_start: who is asked about what, and what the two answers to a question become."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest

from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import ingest, simulate_cold_start
from jobs.llm import fake_engine
from jobs.llm.fake_engine import Fault
from jobs.llm.request import Request
from jobs.simulate_cold_start import Question, nearest_questions
from jobs.step import execute

DS = date(1998, 1, 2)
Publish = Callable[..., None]


def unit(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


@pytest.fixture
def settings(make_settings: Callable[..., Settings], publish: Publish) -> Settings:
    """A night with vectors: m3 and m4 are cold (at most one event), ann is near m3 and bob near m4."""
    made = make_settings(
        GENERATION__ENGINE="fake", COLD_START__MAX_EVENTS="1", COLD_START__USERS_PER_ITEM="1"
    )
    execute(ingest.JOB, DS, made)
    items = {"m1": unit(0), "m2": unit(45), "m3": unit(90), "m4": unit(180)}
    users = {"ann": unit(80), "bob": unit(170)}
    item_rows = [{"item_id": item, "embedding": vector.tolist()} for item, vector in items.items()]
    user_rows = [{"user_id": user, "embedding": vector.tolist()} for user, vector in users.items()]
    publish(made, "embed", DS, {"item_embeddings": item_rows, "user_embeddings": user_rows})
    return made


def run(settings: Settings) -> Partition:
    execute(simulate_cold_start.JOB, DS, settings)
    partition = Store(settings.data_root).published("synthetic_interactions", DS)
    assert partition is not None
    return partition


def test_the_nearest_user_of_every_item_is_asked() -> None:
    cold = {"x": unit(0), "y": unit(90), "z": unit(180)}
    users = {"near_x": unit(10), "near_y": unit(95), "near_z": unit(170)}
    assert nearest_questions(cold, users, users_per_item=1, pairs=9) == [
        Question("near_x", "x", "y"),
        Question("near_y", "y", "z"),
        Question("near_z", "z", "x"),
    ]
    assert nearest_questions(cold, users, users_per_item=1, pairs=2)[1:] == [Question("near_y", "y", "z")]


def test_one_user_near_to_several_items_is_asked_about_all_of_them() -> None:
    cold = {"x": unit(0), "y": unit(90), "z": unit(180)}
    users = {"near_x": unit(10), "near_y": unit(95), "near_z": unit(170)}
    # near_y is the nearest of y and the second nearest of x and z
    assert nearest_questions(cold, users, users_per_item=2, pairs=9) == [
        Question("near_y", "x", "y"),
        Question("near_y", "y", "z"),
        Question("near_y", "z", "x"),
    ]


def test_an_item_is_asked_about_against_as_many_others_as_it_has_near_users() -> None:
    cold = {"w": unit(0), "x": unit(2), "y": unit(4), "z": unit(6)}
    users = {"near": unit(3), "far": unit(90)}
    questions = nearest_questions(cold, users, users_per_item=2, pairs=9)
    assert {question.user_id for question in questions} == {"near"}
    # all six pairs: each item against the next one, then w and x against the one after that
    assert [(q.item, q.other) for q in questions] == [
        ("w", "x"),
        ("x", "y"),
        ("y", "z"),
        ("z", "w"),
        ("w", "y"),
        ("x", "z"),
    ]


def test_a_pair_is_asked_of_a_user_once() -> None:
    cold = {"x": unit(0), "y": unit(5)}
    assert nearest_questions(cold, {"u": unit(0)}, users_per_item=1, pairs=9) == [Question("u", "x", "y")]


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
    partition = run(settings)
    counts = partition.manifest["counts"]
    rows = read("synthetic_interactions", partition.files).to_pylist()
    assert counts["written"] + counts["disagreed"] == counts["selected"]
    assert len(rows) == counts["written"]
    counted = partition.manifest["provenance"]
    assert counted["agreement_rate"] == counts["written"] / counts["selected"]
    for row in rows:
        assert {row["item_id"], row["other_item_id"]} <= {"m2", "m3", "m4"}
        assert row["confidence"] == pytest.approx(2 * row["probability"] - 1)
        assert row["input_max_event_time"] < row["as_of"]


def test_a_question_with_a_refused_answer_is_quarantined(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (lambda _: Fault.ERROR, 0.0))
    manifest = run(settings).manifest
    assert manifest["rows"]["quarantined"] == {"engine_error": manifest["counts"]["selected"]}
    assert manifest["rows"]["written"] == 0


def test_without_cold_items_nothing_is_asked(
    make_settings: Callable[..., Settings], settings: Settings
) -> None:
    none = make_settings(GENERATION__ENGINE="fake", COLD_START__ITEMS="0")
    manifest = run(none).manifest
    assert manifest["rows"]["written"] == 0
    assert "nothing to ask: 0 cold items" in manifest["notes"][0]


def test_without_a_model_nobody_is_asked(settings: Settings) -> None:
    without = settings.generation.model_copy(update={"engine": "none"})
    partition = run(settings.model_copy(update={"generation": without}))
    assert read("synthetic_interactions", partition.files).num_rows == 0
