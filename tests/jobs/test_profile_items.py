"""profile_items with the fake engine: scope, outcomes, reuse, shards, time."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import jsonschema
import pytest

from feature_store.errors import BudgetExhausted, GateRefused
from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs import ingest, profile_items
from jobs.llm import fake_engine
from jobs.llm.fake_engine import Fault
from jobs.llm.ledger import Ledger
from jobs.llm.prompt import load_prompt
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
        "cut_rows": 0,
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
    execute(ingest.JOB, DS, settings, reprocess=True)
    execute(profile_items.JOB, DS, settings)
    assert (counts(settings)["asked"], counts(settings)["carried_forward"]) == (1, 3)


def test_refused_answers_are_quarantined_and_the_run_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(request: Request) -> Fault | None:
        return Fault.NOT_JSON if request.entity_id == "m1" else None

    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (fault, 0.0))
    execute(profile_items.JOB, DS, settings)
    manifest = published(settings).manifest
    assert manifest["rows"] == {"written": 3, "quarantined": {"invalid_json": 1}}
    assert counts(settings)["selected"] == 4
    assert counts(settings)["retried"] == 1
    assert published(settings).quarantine is not None


def test_with_too_many_refused_nothing_is_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(request: Request) -> Fault | None:
        return {"m1": Fault.NOT_JSON, "m2": Fault.ERROR}.get(request.entity_id)

    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (fault, 0.0))
    said = r"50\.0% of its rows have values, at least 70% must \(1 invalid_json, 1 engine_error\)"
    with pytest.raises(GateRefused, match=said):
        execute(profile_items.JOB, DS, settings)
    assert Store(settings.data_root).published("item_profiles", DS) is None


@pytest.fixture
def half(make_settings: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a budget for two or three of the four items."""
    monkeypatch.setattr("jobs.llm.ledger.expected_tokens", lambda _: 1)
    execute(profile_items.JOB, DS, settings)
    (entry,) = Ledger(settings.data_root).entries(DS)
    for folder in ("generations", "ledger", "tables/item_profiles"):
        shutil.rmtree(settings.data_root / folder)
    return make_settings(GENERATION__ENGINE="fake", GENERATION__BUDGET__TOKENS=str(entry.tokens * 3 // 4))


def test_a_budget_ends_a_night_and_a_larger_one_goes_on(
    half: Settings, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, "item_profiles", replace(TABLES["item_profiles"], coverage=0.9))
    budget = half.generation.budget.tokens
    with pytest.raises(BudgetExhausted, match=r"was not published: .* raise the budget and run it again"):
        execute(profile_items.JOB, DS, half)
    (entry,) = Ledger(settings.data_root).entries(DS)
    assert 0 < entry.tokens <= budget
    assert 0 < entry.asked < 4
    with pytest.raises(BudgetExhausted):
        execute(profile_items.JOB, DS, half)
    entries = Ledger(settings.data_root).entries(DS)
    assert sum(e.tokens for e in entries) <= budget
    execute(profile_items.JOB, DS, settings)
    assert counts(settings)["cached"] == sum(e.asked for e in entries) < 4
    assert counts(settings)["asked"] == 4 - counts(settings)["cached"]


def test_a_night_that_is_complete_enough_is_published_and_goes_on_later(
    half: Settings, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, "item_profiles", replace(TABLES["item_profiles"], coverage=0.1))
    with pytest.raises(BudgetExhausted) as refusal:
        execute(profile_items.JOB, DS, half)
    assert refusal.value.published
    rows = published(settings).manifest["rows"]
    assert rows["written"] + rows["quarantined"]["over_budget"] == 4
    assert not execute(profile_items.JOB, DS, settings).nothing_to_do
    assert published(settings).manifest["rows"] == {"written": 4, "quarantined": {}}
    assert execute(profile_items.JOB, DS, settings).nothing_to_do


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


def test_cold_items_that_nobody_described_come_first(settings: Settings) -> None:
    texts = {"d1": "A film.", "d2": "A film.", "d3": "A film.", "b1": None, "b2": None}
    items = [{"item_id": item, "description": text, "listed": True} for item, text in texts.items()]
    profiles = settings.profiles.model_copy(update={"item_min_events": 9, "item_cold": 3})
    chosen = profile_items.in_scope(items, {}, profiles, max_events=1)
    assert {"b1", "b2"} < chosen
    assert len(chosen) == 3
    # b1 has too many events to be cold, d1 enough to be in scope anyway
    chosen = profile_items.in_scope(items, {"b1": 2, "d1": 9}, profiles, max_events=1)
    assert chosen == {"d1", "b2", "d2", "d3"}


def test_an_item_that_only_events_know_has_nothing_to_be_described_by(settings: Settings) -> None:
    items = [{"item_id": "i", "description": None, "listed": False}]
    assert profile_items.in_scope(items, {"i": 99}, settings.profiles, max_events=1) == set()


def test_shards_publish_nothing_and_leave_nothing_to_ask(settings: Settings) -> None:
    for k in (1, 2):
        execute(profile_items.JOB, DS, settings, shard=(k, 2))
    assert Store(settings.data_root).published("item_profiles", DS) is None
    execute(profile_items.JOB, DS, settings)
    assert (counts(settings)["asked"], counts(settings)["cached"]) == (0, 4)


def test_collected_shards_are_the_table_of_one_run(settings: Settings) -> None:
    execute(profile_items.JOB, DS, settings)
    whole = read("item_profiles", published(settings).files)
    shutil.rmtree(settings.data_root / "generations")
    for k in (3, 1, 2):
        execute(profile_items.JOB, DS, settings, shard=(k, 3), reprocess=True)
    execute(profile_items.JOB, DS, settings, reprocess=True)
    collected = read("item_profiles", published(settings).files)
    assert counts(settings)["asked"] == 0
    of_the_run = ["run_id", "generated_at", "known_at"]
    assert collected.drop_columns(of_the_run).equals(whole.drop_columns(of_the_run))


def test_rows_with_a_field_that_was_cut_are_counted(settings: Settings, source: Path) -> None:
    items = source / "tiny.item"
    items.write_text(items.read_text("utf-8").replace("GoldenEye", "Golden Eye " * 40), "utf-8")
    execute(ingest.JOB, DS, settings, reprocess=True)
    execute(profile_items.JOB, DS, settings)
    assert counts(settings)["cut_rows"] == 1


def test_what_the_settings_say_of_privacy_changes_the_result(make_settings: Make, settings: Settings) -> None:
    execute(profile_items.JOB, DS, settings)
    other = make_settings(
        GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0", PRIVACY__ALLOWED_ATTRIBUTES='["age"]'
    )
    assert not execute(profile_items.JOB, DS, other).nothing_to_do


def test_the_prompt_shows_the_items_own_fields(settings: Settings) -> None:
    row = profile_items.as_row({"item_id": "m1", "attributes": json.dumps({"release_year": "1995"})})
    assert row == {"item_id": "m1", "attributes": {"release_year": "1995"}}


ROW = {"title": "RED BAG", "categories": [], "attributes": {}, "price": 2.0, "description": None}
DATED = {"title": "Heat", "categories": ["Crime"], "attributes": {"release_year": "1995"}, "price": None}


def _shown(row, version=3) -> str:
    return "\n".join(message["content"] for message in load_prompt("profile_item", version).render(row))


def test_examples_show_what_the_rows_have_and_no_more() -> None:
    """A small model gives a year to whatever follows four examples with one."""
    assert not re.search(r"year|\b(19|20)\d\d\b|Categories", _shown(ROW))
    assert not re.search(r"year|\b(19|20)\d\d\b", _shown(ROW | {"categories": ["Bags"]}))
    assert "Release year: 1999" in _shown(DATED | {"description": None})
    assert _shown(DATED | {"description": "Two men."}).count("Description: ") == 4


def test_the_answers_of_the_examples_satisfy_the_schema() -> None:
    prompt = load_prompt("profile_item", 3)
    for row in (ROW, DATED | {"description": None}, DATED | {"description": "Two men."}):
        answers = [turn["content"] for turn in prompt.render(row) if turn["role"] == "assistant"]
        assert len(answers) == 4
        for answer in answers:
            jsonschema.validate(json.loads(answer), prompt.output)


def test_what_version_2_answered_of_dated_rows_is_not_asked_again() -> None:
    assert _shown(DATED | {"description": None}) == _shown(DATED | {"description": None}, 2)


def test_without_a_model_nothing_is_asked_and_with_one_again_everything(make_settings: Make) -> None:
    settings = make_settings(GENERATION__ENGINE="none", PROFILES__ITEM_MIN_EVENTS="0")
    execute(ingest.JOB, DS, settings)
    execute(profile_items.JOB, DS, settings)
    assert read("item_profiles", published(settings).files).num_rows == 0
    settings = make_settings(GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0")
    execute(profile_items.JOB, DS, settings)
    assert read("item_profiles", published(settings).files).num_rows == 4
