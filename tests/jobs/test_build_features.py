from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store, read
from feature_store.tables import TABLES
from jobs.build_features import JOB
from jobs.night import Night
from jobs.step import execute

DS = date(1998, 4, 30)
AS_OF = datetime(1998, 5, 1, tzinfo=UTC)
EDGE = timedelta(microseconds=1)

pytestmark = pytest.mark.spark


def _event(user, item, event_time, weight=1.0):
    return {
        "user_id": user,
        "item_id": item,
        "event_time": event_time,
        "event_type": "event",
        "weight": weight,
    }


# What stands at each border of the windows; the last event is at as_of itself and must not be seen.
EVENTS = [
    _event("ann", "m1", AS_OF - timedelta(days=90) - EDGE, 5.0),
    _event("ann", "m2", AS_OF - timedelta(days=90), 5.0),
    _event("ann", "m1", AS_OF - timedelta(days=30), 4.0),
    _event("bob", "m1", AS_OF - timedelta(days=7), 1.0),
    _event("ann", "m3", AS_OF - timedelta(hours=12), 3.0),
    _event("eve", "m1", AS_OF, 1.0),
]
ITEMS = [
    {"item_id": "m1", "categories": ["Comedy", "Drama"]},
    {"item_id": "m2", "categories": ["Drama"]},
    {"item_id": "m3", "categories": []},
    {"item_id": "m4", "categories": ["War"]},
]
ITEM_PROFILES = [{"item_id": "m4", "llm_tags": ["grim"]}]
USER_PROFILES = [{"user_id": "bob", "llm_interests": ["grim"], "input_max_event_time": AS_OF - EDGE}]


@pytest.fixture
def build(make_settings, partition):
    """`build(first_day)`: the features of DS by key, the history having begun on first_day."""

    def run(first_day=date(1998, 1, 1)):
        settings = make_settings()
        inputs = {
            "interactions": [partition("interactions", first_day, EVENTS), partition("interactions", DS, [])],
            "items": [partition("items", DS, ITEMS)],
            "item_profiles": [partition("item_profiles", DS, ITEM_PROFILES)],
            "user_profiles": [partition("user_profiles", DS, USER_PROFILES)],
        }
        night = Night(DS, settings, Store(settings.data_root), inputs, "run")
        JOB.run(night)
        rows = {table: read(table, night.staged_files(table)).to_pylist() for table in JOB.outputs}
        assert [night.staged[table, DS] for table in JOB.outputs] == [4, 2]
        return (
            {row["item_id"]: row for row in rows["item_features"]},
            {row["user_id"]: row for row in rows["user_features"]},
        )

    return run


def test_windows_are_half_open_and_end_before_as_of(build):
    items, users = build()
    m1, ann, bob = items["m1"], users["ann"], users["bob"]
    assert (m1["item_events_count_7d"], m1["item_events_count_30d"], m1["item_events_count_90d"]) == (1, 2, 2)
    assert m1["item_users_count_30d"] == 2
    assert m1["item_weight_mean_90d"] == 2.5
    assert m1["item_recency_days"] == 7.0
    assert m1["item_age_days"] == pytest.approx(90.0)
    assert m1["item_trend_ratio_7d"] == pytest.approx((1 / 7) / (2 / 30))
    assert m1["input_max_event_time"] == AS_OF - timedelta(days=7)
    assert (ann["user_events_count_7d"], ann["user_events_count_30d"], ann["user_events_count_90d"]) == (
        1,
        2,
        3,
    )
    assert ann["user_weight_mean_90d"] == 4.0
    assert ann["user_recency_days"] == 0.5
    assert bob["user_tenure_days"] == 7.0


def test_every_item_has_a_row_and_every_user_with_an_event_before_as_of(build):
    items, users = build()
    assert list(items) == ["m1", "m2", "m3", "m4"]
    assert list(users) == ["ann", "bob"]
    cold = items["m4"]
    assert [cold[f"item_events_count_{days}d"] for days in (7, 30, 90)] == [0, 0, 0]
    assert cold["item_users_count_30d"] == 0
    nulls = ("item_weight_mean_90d", "item_recency_days", "item_age_days", "item_trend_ratio_7d")
    assert [cold[name] for name in (*nulls, "input_max_event_time")] == [None] * 5


def test_profiles_are_marked_and_their_words_are_carried(build):
    items, users = build()
    assert [items[i]["item_profile_present"] for i in ("m1", "m4")] == [False, True]
    assert [items[i]["llm_tags"] for i in ("m1", "m4")] == [[], ["grim"]]
    assert [users[u]["user_profile_present"] for u in ("ann", "bob")] == [False, True]
    assert users["bob"]["llm_interests"] == ["grim"]
    assert users["bob"]["input_max_event_time"] == AS_OF - EDGE


def test_category_shares_split_an_event_evenly_and_skip_items_without_any(build):
    _, users = build()
    # ann within 90 days: m2 (Drama), m1 (half Comedy, half Drama), m3 (none)
    assert users["ann"]["user_category_names_90d"] == ["Drama", "Comedy"]
    assert users["ann"]["user_category_shares_90d"] == pytest.approx([1.5 / 3, 0.5 / 3])
    # equal shares stand in the order of their names
    assert users["bob"]["user_category_names_90d"] == ["Comedy", "Drama"]


@pytest.mark.parametrize(("first_day", "complete"), [(date(1998, 1, 31), True), (date(1998, 2, 1), False)])
def test_a_window_longer_than_the_history_is_flagged(build, first_day, complete):
    items, users = build(first_day)
    assert {row["item_window_complete_90d"] for row in items.values()} == {complete}
    assert {row["user_window_complete_90d"] for row in users.values()} == {complete}


def test_the_night_passes_its_gates_and_is_published_with_the_contract(make_settings, publish):
    settings = make_settings()
    before = [event for event in EVENTS if event["event_time"] < AS_OF]
    publish(settings, "ingest", DS, {"interactions": before, "items": ITEMS})
    publish(settings, "profile_items", DS, {"item_profiles": ITEM_PROFILES})
    publish(settings, "profile_users", DS, {"user_profiles": USER_PROFILES})
    execute(JOB, DS, settings)
    for table in JOB.outputs:
        (file,) = Store(settings.data_root).published(table, DS).files
        assert pq.read_schema(file).names == TABLES[table].schema.names
    assert execute(JOB, DS, settings).nothing_to_do
