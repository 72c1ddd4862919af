"""profile_items with the fake engine: scope, outcomes, reuse, shards, time."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import ingest, profile_items
from jobs.llm import fake_engine
from jobs.llm.fake_engine import Fault
from jobs.llm.request import Request
from jobs.step import execute

DS = date(1998, 1, 2)
Make = Callable[..., Settings]


@pytest.fixture
def settings(make_settings: Make) -> Settings:
    """Every item is in scope, and the fake engine answers."""
    made = make_settings(GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0")
    execute(ingest.JOB, DS, made)
    return made


def published(settings: Settings) -> Partition:
    partition = Store(settings.data_root).published("item_profiles", DS)
    assert partition is not None
    return partition


def counts(settings: Settings) -> dict[str, int]:
    found: dict[str, int] = published(settings).manifest["counts"]
    return found


def test_every_item_gets_a_profile(settings: Settings) -> None:
    execute(profile_items.JOB, DS, settings)
    rows = read("item_profiles", published(settings).files).to_pylist()
    assert [row["item_id"] for row in rows] == ["m1", "m2", "m3", "m4"]
    assert all(row["llm_description"] and row["llm_tags"] and row["llm_audience"] for row in rows)
    assert {row["model_id"] for row in rows} == {"fake"}
    assert {row["prompt_name"] for row in rows} == {"profile_item"}
    assert counts(settings) == {
        "requests": 4,
        "asked": 4,
        "cached": 0,
        "selected": 4,
        "written": 4,
        "carried_forward": 0,
        "out_of_scope": 0,
        "prompt_tokens": counts(settings)["prompt_tokens"],
        "cached_tokens": 0,
        "output_tokens": counts(settings)["output_tokens"],
    }


def test_the_second_night_carries_everything_forward(settings: Settings) -> None:
    execute(profile_items.JOB, DS, settings)
    assert execute(profile_items.JOB, DS, settings).nothing_to_do
    execute(profile_items.JOB, DS, settings, reprocess=True)
    assert (counts(settings)["asked"], counts(settings)["carried_forward"]) == (0, 4)


def test_a_changed_title_costs_one_request(settings: Settings, source: Path) -> None:
    execute(profile_items.JOB, DS, settings)
    items = source / "tiny.item"
    items.write_text(items.read_text("utf-8").replace("GoldenEye", "Golden Eye"), "utf-8")
    execute(ingest.JOB, DS, settings)
    execute(profile_items.JOB, DS, settings)
    assert (counts(settings)["asked"], counts(settings)["carried_forward"]) == (1, 3)


def test_refused_answers_are_quarantined_and_the_run_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(request: Request) -> Fault | None:
        return {"m1": Fault.NOT_JSON, "m2": Fault.ERROR}.get(request.entity_id)

    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (fault, 0.0))
    execute(profile_items.JOB, DS, settings)
    manifest = published(settings).manifest
    assert manifest["rows"] == {"written": 2, "quarantined": {"invalid_json": 1, "engine_error": 1}}
    assert counts(settings)["selected"] == 4
    assert published(settings).quarantine is not None


def test_scope_is_items_with_events_enough_and_some_cold_ones(make_settings: Make) -> None:
    # m1 has 2 events, m2 and m3 one, m4 none
    made = make_settings(
        GENERATION__ENGINE="fake",
        PROFILES__ITEM_MIN_EVENTS="2",
        PROFILES__ITEM_COLD="1",
        COLD_START__MAX_EVENTS="0",
    )
    execute(ingest.JOB, DS, made)
    outcome = execute(profile_items.JOB, DS, made)
    assert read("item_profiles", published(made).files)["item_id"].to_pylist() == ["m1", "m4"]
    assert counts(made)["out_of_scope"] == 2
    assert "2 of 4 items are in scope" in outcome.notes[0]


def test_shards_publish_nothing_and_leave_nothing_to_ask(settings: Settings) -> None:
    for k in (1, 2):
        execute(profile_items.JOB, DS, settings, shard=(k, 2))
    assert Store(settings.data_root).published("item_profiles", DS) is None
    execute(profile_items.JOB, DS, settings)
    assert (counts(settings)["asked"], counts(settings)["cached"]) == (0, 4)


def test_the_prompt_shows_the_items_own_fields(settings: Settings) -> None:
    row = profile_items.as_row({"item_id": "m1", "attributes": json.dumps({"release_year": "1995"})})
    assert row == {"item_id": "m1", "attributes": {"release_year": "1995"}}
