"""profile_users with the fake engine: history before as_of only, scope, provenance."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import ingest, profile_users
from jobs.llm import fake_engine
from jobs.llm.request import Request
from jobs.step import execute

Make = Callable[..., Settings]
FIRST, SECOND = date(1998, 1, 1), date(1998, 1, 2)


def run(settings: Settings, ds: date) -> Partition:
    execute(ingest.JOB, ds, settings)
    execute(profile_users.JOB, ds, settings)
    partition = Store(settings.data_root).published("user_profiles", ds)
    assert partition is not None
    return partition


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the engine was shown of each user."""
    shown: dict[str, str] = {}

    def note(request: Request) -> None:
        shown[request.entity_id] = request.messages[-1]["content"]

    monkeypatch.setattr(fake_engine.FakeEngine.__init__, "__defaults__", (note, 0.0))
    return shown


def test_a_user_is_described_by_what_was_liked(make_settings: Make, seen: dict[str, str]) -> None:
    # ann gave m1 a 5 and m2 a 3, her mean is 4; bob m1 a 4 and m3 a 2, his mean is 3
    partition = run(make_settings(GENERATION__ENGINE="fake"), SECOND)
    assert set(seen.values()) == {"<items>\n- Toy Story (Animation, Comedy)\n</items>"}
    rows = read("user_profiles", partition.files).to_pylist()
    assert [(row["user_id"], row["history_events"]) for row in rows] == [("ann", 1), ("bob", 1)]
    assert all(row["llm_interests"] and row["llm_summary"] for row in rows)


def test_equal_histories_are_one_question(make_settings: Make) -> None:
    partition = run(make_settings(GENERATION__ENGINE="fake"), SECOND)
    assert (partition.manifest["counts"]["requests"], partition.manifest["counts"]["asked"]) == (2, 1)


def test_nothing_after_the_night_is_read(make_settings: Make, seen: dict[str, str]) -> None:
    # bob's events are all on the second day
    rows = read("user_profiles", run(make_settings(GENERATION__ENGINE="fake"), FIRST).files).to_pylist()
    assert [row["user_id"] for row in rows] == ["ann"]
    assert rows[0]["input_max_event_time"] == datetime(1998, 1, 1, 1, tzinfo=UTC)
    assert set(seen) == {"ann"}


def test_only_active_users_are_asked_about(make_settings: Make, seen: dict[str, str]) -> None:
    made = make_settings(GENERATION__ENGINE="fake", PROFILES__USER_ACTIVE_DAYS="1")
    partition = run(made, SECOND)
    assert set(seen) == {"bob"}
    assert partition.manifest["counts"]["out_of_scope"] == 1
    assert "1 of 2 users are in scope" in partition.manifest["notes"][0]


def test_at_most_so_many_the_most_recently_active_first(make_settings: Make, seen: dict[str, str]) -> None:
    run(make_settings(GENERATION__ENGINE="fake", PROFILES__USER_MAX="1"), SECOND)
    assert set(seen) == {"bob"}


def test_without_a_model_nobody_is_asked(make_settings: Make, seen: dict[str, str]) -> None:
    partition = run(make_settings(GENERATION__ENGINE="none", GENERATION__MODEL="no/such-model"), SECOND)
    assert (read("user_profiles", partition.files).num_rows, seen) == (0, {})
