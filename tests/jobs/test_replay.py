"""Refused rows are asked about again; the others stay as they were."""

from collections.abc import Callable
from datetime import date

import pytest

from feature_store.errors import NightmillError, UsageError
from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import ingest, profile_items, simulate_cold_start
from jobs.llm import fake_engine
from jobs.llm.fake_engine import Fault
from jobs.llm.request import Request
from jobs.replay import check_replayable, replay
from jobs.step import execute

DS = date(1998, 1, 2)


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings whose night has its events; every item is in scope."""
    made = make_settings(GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0")
    execute(ingest.JOB, DS, made)
    return made


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`refuse("m1", ...)`: the engine answers these items with nonsense from now on."""

    def set_faults(*items: str) -> None:
        def fault(request: Request) -> Fault | None:
            return Fault.NOT_JSON if request.entity_id in items else None

        monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (fault, 0.0))

    return set_faults


def published(settings: Settings) -> Partition:
    partition = Store(settings.data_root).published("item_profiles", DS)
    assert partition is not None
    return partition


def rows(settings: Settings) -> dict[str, dict[str, object]]:
    table = read("item_profiles", published(settings).files).drop_columns(["run_id"])
    return {row["item_id"]: row for row in table.to_pylist()}


def test_only_the_refused_row_is_asked_about(
    settings: Settings, make_settings: Callable[..., Settings], refuse: Callable[..., None]
) -> None:
    refuse("m1")
    execute(profile_items.JOB, DS, settings)
    before, first = rows(settings), published(settings)
    assert set(before) == {"m2", "m3", "m4"}
    refuse()
    other = make_settings(
        GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0", GENERATION__SAMPLING__SEED="7"
    )
    outcome = replay(profile_items.JOB, DS, other)
    assert outcome.counts["asked"] == 1
    after, manifest = rows(settings), published(settings).manifest
    assert set(after) == {"m1", "m2", "m3", "m4"}
    assert {item: after[item] for item in before} == before
    assert manifest["rows"] == {"written": 4, "quarantined": {}}
    assert manifest["replayed"] == {"run_id": first.run_id, "rows": 1}
    assert manifest["counts"]["selected"] == 4
    # the night is still the one that was made from these inputs
    assert execute(profile_items.JOB, DS, settings).nothing_to_do
    assert replay(profile_items.JOB, DS, settings).nothing_to_do


def test_what_is_refused_again_stays_in_quarantine(settings: Settings, refuse: Callable[..., None]) -> None:
    refuse("m1")
    execute(profile_items.JOB, DS, settings)
    outcome = replay(profile_items.JOB, DS, settings)
    assert outcome.counts["asked"] == 0
    assert published(settings).manifest["rows"] == {"written": 3, "quarantined": {"invalid_json": 1}}
    assert len(rows(settings)) == 3


def test_a_night_that_is_not_there_cannot_be_replayed(settings: Settings) -> None:
    with pytest.raises(
        NightmillError, match="is not published: run `nightmill profile_items --ds 1998-01-02`"
    ):
        replay(profile_items.JOB, DS, settings)


def test_questions_about_pairs_are_no_rows() -> None:
    check_replayable(profile_items.JOB)
    with pytest.raises(UsageError, match="run `nightmill simulate_cold_start --ds D --reprocess`"):
        check_replayable(simulate_cold_start.JOB)
