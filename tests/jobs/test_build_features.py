"""Features by hand: one Spark job over a history that has something at every edge."""

from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from feature_store import spark
from feature_store.partitions import Store, read
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from jobs.build_features import JOB
from jobs.night import Night
from jobs.step import execute

DS = date(1998, 4, 30)
AS_OF = datetime(1998, 5, 1, tzinfo=UTC)
EDGE = timedelta(microseconds=1)
DAY, HALF_HOUR = timedelta(days=1), timedelta(minutes=30)

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
    _event("ann", "m1", AS_OF - 90 * DAY - EDGE, 5.0),
    _event("ann", "m2", AS_OF - 90 * DAY, 5.0),
    _event("ann", "m1", AS_OF - 30 * DAY, 4.0),
    _event("bob", "m1", AS_OF - 7 * DAY, 1.0),
    _event("ann", "m3", AS_OF - DAY / 2, 3.0),
    _event("eve", "m1", AS_OF, 1.0),
    # cat looks in on four occasions, the first two parted by just more than half an hour, and returns m5.
    _event("cat", "m5", AS_OF - 10 * DAY),
    _event("cat", "m6", AS_OF - 10 * DAY + HALF_HOUR),
    _event("cat", "m6", AS_OF - 10 * DAY + 2 * HALF_HOUR + EDGE),
    _event("cat", "m5", AS_OF - 5 * DAY, -1.0),
    _event("cat", "m7", AS_OF - 4 * DAY, 2.0),
    _event("cat", "not in the catalogue", AS_OF - 4 * DAY, 2.0),
]
ITEMS = [
    {"item_id": "m1", "categories": ["Comedy", "Drama"], "price": 30.0},
    {"item_id": "m2", "categories": ["Drama"]},
    {"item_id": "m3", "categories": [], "price": 5.0},
    {"item_id": "m4", "categories": ["War"]},
    {"item_id": "m5", "categories": ["Drama", "War"], "price": 10.0, "brand": "Acme"},
    {"item_id": "m6", "categories": ["Drama", "War"], "price": 30.0, "brand": "Acme"},
    {"item_id": "m7", "categories": ["Comedy"], "price": 20.0},
]
ITEM_PROFILES = [{"item_id": "m4", "llm_tags": ["grim"]}, {"item_id": "m6", "llm_tags": ["loud", "grim"]}]
USER_PROFILES = [{"user_id": "bob", "llm_interests": ["grim"], "input_max_event_time": AS_OF - EDGE}]


@pytest.fixture(scope="module", autouse=True)
def one_session():
    """The blocks of this file share one Spark session."""
    with spark.session(load_settings({"NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})):
        yield


@pytest.fixture(scope="module")
def build(module_partition, tmp_path_factory):
    """`build(first_day)`: the features of DS by key, the history having begun on first_day."""

    def run(first_day):
        environ = {
            "NIGHTMILL_DATA": str(tmp_path_factory.mktemp("data")),
            "NIGHTMILL_COLD_START__MAX_EVENTS": "2",
        }
        settings = load_settings(environ)
        inputs = {
            "interactions": [
                module_partition("interactions", first_day, []),
                module_partition("interactions", DS, EVENTS),
            ],
            "items": [module_partition("items", DS, ITEMS)],
            "item_profiles": [module_partition("item_profiles", DS, ITEM_PROFILES)],
            "user_profiles": [module_partition("user_profiles", DS, USER_PROFILES)],
        }
        night = Night(DS, settings, Store(settings.data_root), inputs, "run")
        JOB.run(night)
        rows = {table: read(table, night.staged_files(table)).to_pylist() for table in JOB.outputs}
        assert [night.staged[table, DS] for table in JOB.outputs] == [len(found) for found in rows.values()]
        return (
            {row["item_id"]: row for row in rows["item_features"]},
            {row["user_id"]: row for row in rows["user_features"]},
        )

    return run


@pytest.fixture(scope="module")
def built(build):
    return build(date(1998, 1, 31))


@pytest.fixture(scope="module")
def items(built):
    return built[0]


@pytest.fixture(scope="module")
def users(built):
    return built[1]


def test_windows_are_half_open_and_end_before_as_of(items, users):
    m1, ann, bob = items["m1"], users["ann"], users["bob"]
    assert [m1[f"item_events_count_{window}"] for window in ("7d", "30d", "90d", "lifetime")] == [1, 2, 2, 3]
    assert m1["item_users_count_30d"] == 2
    assert m1["item_weight_mean_90d"] == 2.5
    assert m1["item_recency_days"] == 7.0
    assert m1["item_age_days"] == pytest.approx(90.0)
    assert m1["item_trend_ratio_7d"] == pytest.approx((1 / 7) / (2 / 30))
    assert m1["item_trend_ratio_30d"] == pytest.approx(3)
    assert m1["input_max_event_time"] == AS_OF - 7 * DAY
    assert [ann[f"user_events_count_{window}"] for window in ("7d", "30d", "90d", "lifetime")] == [1, 2, 3, 4]
    assert ann["user_weight_mean_90d"] == 4.0
    assert ann["user_recency_days"] == 0.5
    assert ann["user_trend_ratio_7d"] == pytest.approx((1 / 7) / (2 / 30))
    assert bob["user_tenure_days"] == 7.0


def test_every_item_has_a_row_and_every_user_with_an_event_before_as_of(items, users):
    assert list(items) == ["m1", "m2", "m3", "m4", "m5", "m6", "m7"]
    assert list(users) == ["ann", "bob", "cat"]


def test_an_item_nobody_took_has_zeros_and_nulls(items):
    cold = items["m4"]
    assert [cold[f"item_events_count_{window}"] for window in ("7d", "30d", "90d", "lifetime")] == [
        0,
        0,
        0,
        0,
    ]
    assert cold["item_users_count_30d"] == 0
    nulls = (
        "weight_mean_90d",
        "returns_share_90d",
        "recency_days",
        "age_days",
        "trend_ratio_7d",
        "trend_ratio_30d",
    )
    assert [cold[f"item_{name}"] for name in nulls] == [None] * 6
    assert cold["input_max_event_time"] is None


def test_profiles_are_marked_and_their_words_are_carried(items, users):
    assert [items[i]["item_profile_present"] for i in ("m1", "m4")] == [False, True]
    assert [items[i]["llm_tags"] for i in ("m1", "m4")] == [[], ["grim"]]
    assert [users[u]["user_profile_present"] for u in ("ann", "bob")] == [False, True]
    assert users["bob"]["llm_interests"] == ["grim"]
    assert users["bob"]["input_max_event_time"] == AS_OF - EDGE


def test_category_shares_split_an_event_evenly_and_skip_items_without_any(users):
    # ann within 90 days: m2 (Drama), m1 (half Comedy, half Drama), m3 (none)
    assert users["ann"]["user_category_names_90d"] == ["Drama", "Comedy"]
    assert users["ann"]["user_category_shares_90d"] == pytest.approx([1.5 / 3, 0.5 / 3])
    assert users["ann"]["user_brand_names_90d"] == []
    # equal shares stand in the order of their names
    assert users["bob"]["user_category_names_90d"] == ["Comedy", "Drama"]


def test_a_return_is_an_event_and_takes_back_the_taste_for_what_it_returns(items, users):
    m5, cat = items["m5"], users["cat"]
    assert (m5["item_events_count_30d"], m5["item_returns_share_90d"], m5["item_weight_mean_90d"]) == (
        2,
        0.5,
        0,
    )
    assert cat["user_events_count_30d"] == 6
    assert cat["user_returns_share_90d"] == pytest.approx(1 / 6)
    assert cat["user_weight_mean_90d"] == 1.0
    assert cat["user_items_count_90d"] == 2
    assert cat["user_recent_items_90d"] == ["m7", "m6"]
    assert cat["llm_recent_tags"] == ["grim", "loud"]
    # m6 twice (half Drama, half War) and m7 once (Comedy)
    assert cat["user_category_names_90d"] == ["Comedy", "Drama", "War"]
    assert cat["user_category_shares_90d"] == pytest.approx([1 / 3] * 3)
    assert (cat["user_brand_names_90d"], cat["user_brand_shares_90d"]) == (["Acme"], pytest.approx([2 / 3]))


def test_a_pause_of_more_than_half_an_hour_begins_a_session(users):
    cat, bob = users["cat"], users["bob"]
    assert cat["user_sessions_count_90d"] == 4
    assert cat["user_session_events_mean_90d"] == 6 / 4
    gaps = [HALF_HOUR + EDGE, 5 * DAY - 2 * HALF_HOUR - EDGE, DAY]
    assert cat["user_session_gap_days_mean_90d"] == pytest.approx(sum(gaps, timedelta()) / DAY / 3)
    assert (bob["user_sessions_count_90d"], bob["user_session_gap_days_mean_90d"]) == (1, None)


def test_a_price_stands_among_those_of_the_catalogue_and_of_its_most_specific_category(items, users):
    def percentiles(kind):
        return {name: row[f"item_price_percentile_{kind}"] for name, row in items.items()}

    in_order = {"m3": 0.1, "m5": 0.3, "m7": 0.5, "m1": 0.8, "m6": 0.8}
    assert percentiles("catalogue") == pytest.approx(in_order | {"m2": None, "m4": None})
    alone = {"m1": 0.5, "m7": 0.5}
    assert percentiles("category") == alone | {"m5": 0.25, "m6": 0.75} | {"m2": None, "m3": None, "m4": None}
    # m1 and m3; m7 and m6; bob's only item
    assert [users[u]["user_price_median_90d"] for u in ("ann", "cat", "bob")] == [17.5, 25.0, 30.0]


def test_cold_is_who_has_at_most_the_events_of_cold_start(items, users):
    assert {name for name, row in items.items() if row["item_cold"]} == {"m2", "m3", "m4", "m5", "m6", "m7"}
    assert {name for name, row in users.items() if row["user_cold"]} == {"bob"}


def test_a_window_longer_than_the_history_is_flagged(built, build):
    def complete(features):
        items, users = features
        rows = [("item", row) for row in items.values()] + [("user", row) for row in users.values()]
        return {tuple(row[f"{entity}_window_complete_{n}d"] for n in (7, 30, 90)) for entity, row in rows}

    assert complete(built) == {(True, True, True)}
    assert complete(build(date(1998, 4, 2))) == {(True, False, False)}


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
