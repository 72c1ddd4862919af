"""The drift gate: what it notes, refuses and leaves in the manifest."""

from datetime import date

import pytest

from feature_store.errors import GateRefused
from feature_store.partitions import Store

FIRST, SECOND, THIRD = date(1998, 1, 7), date(1998, 1, 8), date(1998, 1, 9)
# shares .5 .5, then .9 .1: .4 * ln(.9 / .5) - .4 * ln(.1 / .5)
BEFORE, AFTER, PSI = 50, 90, 0.8789


@pytest.fixture
def features(publish, make_settings):
    """`features(ds, events, **settings)`: publish 100 items, so many of them with events in 7 days."""

    def run(ds, events, **overrides):
        settings = make_settings(TIME__MODE="simulated", **overrides)
        rows = [{"item_id": f"i{n:03}", "item_events_count_7d": int(n < events)} for n in range(100)]
        publish(settings, "build_features", ds, {"item_features": rows})
        return Store(settings.data_root).published("item_features", ds).manifest

    return run


def test_the_manifest_says_how_far_every_column_moved_and_since_when(features):
    first, second = features(FIRST, BEFORE), features(SECOND, AFTER)
    assert first["drift"] is None
    assert (second["drift"]["ds"], second["drift"]["run_id"]) == ("1998-01-07", first["run_id"])
    columns = second["drift"]["columns"]
    assert columns["item_events_count_7d"]["psi"] == PSI
    assert columns["item_events_count_30d"]["psi"] == 0
    assert "item_age_days" not in columns


def test_far_is_noted_and_can_be_refused(features, capsys):
    features(FIRST, BEFORE)
    said = "since 1998-01-07 more than drift.warn = 0.25 has moved (PSI) item_events_count_7d (0.88)"
    assert features(SECOND, AFTER)["notes"] == [f"item_features: {said}"]
    with pytest.raises(
        GateRefused, match=r"drift\.refuse = 0\.8 has moved \(PSI\) item_events_count_7d \(0\.88\); "
    ):
        features(THIRD, BEFORE, DRIFT__REFUSE="0.8")
    capsys.readouterr()
    assert features(THIRD, BEFORE, DRIFT__WARN="0")["notes"] == []


def test_a_night_is_compared_with_the_newest_before_it_whatever_came_after(features):
    features(THIRD, AFTER)
    features(FIRST, AFTER)
    manifest = features(SECOND, AFTER)
    assert manifest["drift"]["ds"] == "1998-01-07"
    assert manifest["notes"] == []


def test_a_catalogue_whose_prices_come_in_cents_is_refused(publish, make_settings):
    settings = make_settings(DRIFT__REFUSE="0.5")
    items = [{"item_id": f"i{n:03}", "price": 1.0 + n} for n in range(100)]
    publish(settings, "ingest", FIRST, {"items": items, "users": []})
    cents = [item | {"price": item["price"] * 100} for item in items]
    with pytest.raises(GateRefused, match=r"items for 1998-01-08 was not published: .*\(PSI\) price"):
        publish(settings, "ingest", SECOND, {"items": cents, "users": []})
    assert Store(settings.data_root).published("items", SECOND) is None


def test_a_table_that_is_not_watched_is_not_compared(publish, make_settings):
    settings = make_settings()
    for ds, attributes in ((FIRST, "{}"), (SECOND, "other")):
        publish(settings, "ingest", ds, {"users": [{"user_id": "u", "attributes": attributes}]})
    assert Store(settings.data_root).published("users", SECOND).manifest["drift"] is None
