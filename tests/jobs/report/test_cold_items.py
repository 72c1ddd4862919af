from datetime import date

import pytest

from feature_store.partitions import Store
from jobs.report.cold_items import cold_items, pictures

DS = date(2026, 1, 31)
ROW = {
    "model_id": "m",
    "held_items": 200,
    "held_users": 900,
    "equal_events": 8.0,
    "blocks": ["text", "code"],
    "block_weights": [15.0, 5.0],
    "recall_towers": 0.3,
    "recall_nearness": 0.4,
    "recall_both": 0.45,
}


@pytest.fixture
def store(make_settings, publish):
    def make(row):
        settings = make_settings()
        publish(settings, "align_embeddings", DS, {"aligned_items": [], "alignments": [row]})
        return Store(settings.data_root)

    return make


def test_a_night_says_how_well_held_out_items_were_found_and_by_what(store):
    found = cold_items(store(ROW), DS)
    assert (found.held_items, found.held_users, found.equal_events) == (200, 900, 8.0)
    assert [value for _, value in found.recalls] == [0.3, 0.4, 0.45]
    assert found.weights == [("text vectors", 0.75), ("item number", 0.25)]
    recalls, weights = map(str, pictures(found))
    assert "Both, as they are used: 0.450" in recalls
    assert "item number: 25%" in weights


def test_where_nothing_was_held_out_there_is_nothing_to_say(store):
    untested = ROW | {"held_items": 0, "recall_towers": None, "recall_nearness": None, "recall_both": None}
    assert cold_items(store(untested), DS) is None
    assert cold_items(store(ROW), date(2026, 1, 30)) is None
    assert pictures(None) is None
