import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.partitions import Store, read
from jobs.step import execute
from jobs.tune import JOB

DS = date(2026, 1, 31)
AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
SMALL = {
    "RECALL__FACTORS": "4",
    "RECALL__ITERATIONS": "2",
    "RANKER__HORIZON_DAYS": "5",
    "RANKER__WINDOWS": "2",
    "TUNING__TRIALS": "2",
    "TUNING__MIN_USERS": "5",
    "ACTIVITY__DAYS": "365",
}


def history(seed=1, days=80):
    """Each day some of twenty users take one of fifteen items, mostly one that is new that week."""
    generator = np.random.default_rng(seed)
    return [
        {
            "user_id": f"u{user:02}",
            "item_id": f"i{(day // 7 + int(generator.integers(3))) % 15:02}",
            "event_time": AS_OF - timedelta(days=day, hours=-2 - int(generator.integers(20))),
            "event_type": "event",
            "weight": 1.0,
        }
        for day in range(days, 0, -1)
        for user in generator.choice(20, 5, replace=False)
    ]


ITEMS = [{"item_id": f"i{n:02}", "title": "t", "attributes": "{}", "categories": ["x"]} for n in range(15)]


@pytest.fixture
def run(make_settings, publish):
    def tune(events=None, ds=DS, lists=(10, 5), fresh=False, **overrides):
        settings = make_settings(**SMALL | overrides)
        as_of = datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(days=1)
        known = [event for event in events or history() if event["event_time"] < as_of]
        publish(settings, "ingest", ds, {"interactions": known, "items": ITEMS})
        publish(settings, "embed", ds, {"item_embeddings": []})
        for days in lists:
            publish(settings, "fit_recall", DS - timedelta(days=days), {"candidates": []})
        execute(JOB, ds, settings, reprocess=True, fresh=fresh)
        (row,) = read("tunings", Store(settings.data_root).published("tunings", ds).files).to_pylist()
        return row

    return tune


SAID = (
    "status",
    "parameters",
    "quotas",
    "weights",
    "users",
    "tuned_ndcg_at_10",
    "window_start",
    "input_max_event_time",
)


def test_a_search_ends_where_the_label_windows_begin(run):
    row = run()
    assert row["status"] == "tuned"
    assert row["window_end"] == AS_OF - timedelta(days=10)
    assert row["window_start"] < row["window_end"]
    assert row["input_max_event_time"] < row["window_end"]
    assert row["users"] >= 5
    assert set(json.loads(row["parameters"])) <= {
        "factors",
        "regularization",
        "alpha",
        "half_life_days",
        "knn_similarity",
        "knn_neighbours",
        "knn_shrinkage",
        "knn_half_life_days",
        "trending_half_life_days",
        "content_history",
    }


@pytest.mark.parametrize(("lists", "days"), [((), 0), ((4,), 0), ((6, 4), 6), ((7, 5), 5)])
def test_what_is_looked_at_ends_with_the_oldest_list_the_ranker_will_learn_from(run, lists, days):
    """A list whose window is not over teaches nothing, nor does one too near to a newer one."""
    assert run(lists=lists)["window_end"] == AS_OF - timedelta(days=days)


def test_nothing_inside_the_label_windows_changes_what_is_chosen(run):
    """Other events from the end of the tuning window on, the very first moment included."""
    events, end = history(), AS_OF - timedelta(days=10)
    before = [event for event in events if event["event_time"] < end]
    others = [event for event in history(seed=9) if event["event_time"] >= end]
    first = others[0] | {"event_time": end}
    one, other = run(events), run([*before, first, *others])
    assert {name: one[name] for name in SAID} == {name: other[name] for name in SAID}
    changed = run([*before[:-60], *history(seed=9)[len(before) - 60 : len(before)]])
    assert changed["tuned_ndcg_at_10"] != one["tuned_ndcg_at_10"]


def test_a_choice_is_used_until_it_is_too_old(run):
    tuned = run(TUNING__DAYS="3")
    for days, status in ((1, "carried"), (2, "carried"), (3, "tuned")):
        row = run(ds=DS + timedelta(days=days), TUNING__DAYS="3")
        assert row["status"] == status
        assert row["tuned_ds"] == (DS if status == "carried" else DS + timedelta(days=days))
        if status == "carried":
            assert {n: row[n] for n in SAID[1:]} == {n: tuned[n] for n in SAID[1:]}


def test_a_fresh_search_takes_no_notice_of_what_was_found(run):
    run(TUNING__DAYS="3")
    tomorrow = DS + timedelta(days=1)
    assert run(ds=tomorrow, TUNING__DAYS="3")["status"] == "carried"
    assert run(ds=tomorrow, fresh=True, TUNING__DAYS="3")["tuned_ds"] == tomorrow


def test_other_settings_are_a_reason_to_search_again(run):
    run()
    assert run(ds=DS + timedelta(days=1), RECALL__CANDIDATES="100")["status"] == "tuned"


def test_with_too_few_users_the_settings_stay_and_the_row_says_why(run):
    row = run(TUNING__MIN_USERS="21", TUNING__USERS="20")
    assert row["status"] == "default"
    assert "no window before 2026-01-22 has the 21 users" in row["reason"]
    assert json.loads(row["parameters"]) == {}
    assert set(json.loads(row["quotas"]).values()) == {30}  # 180 beside those of cold items
    assert row["window_start"] is None
    # nothing to carry forward
    assert run(ds=DS + timedelta(days=1), TUNING__MIN_USERS="21", TUNING__USERS="20")["status"] == "default"


@pytest.mark.parametrize("events", [1, 0])
def test_one_event_or_none_is_no_error(run, events):
    first = history()[: events or 1]
    if not events:
        first = [first[0] | {"item_id": "of another catalogue"}]
    assert run(first)["status"] == "default"


def test_the_order_of_the_rows_changes_nothing(run):
    one, other = run(), run(history()[::-1])
    assert {name: one[name] for name in SAID} == {name: other[name] for name in SAID}
