"""When a table counts as stale."""

import json
from datetime import date

import pytest

from feature_store.freshness import stale
from feature_store.partitions import MANIFEST, Store, write_atomically


@pytest.fixture
def store(tmp_path):
    """items of the 1st and the 9th, profiles of the 1st; events on the 5th, the 6th to 9th were quiet."""
    store = Store(tmp_path)
    published = [("items", 1, 4), ("items", 9, 4), ("item_profiles", 1, 4), ("interactions", 5, 2)]
    for table, day, rows in published + [("interactions", day, 0) for day in range(6, 10)]:
        folder = store.run_folder(table, date(1998, 1, day), "run")
        manifest = {"fingerprint": "f", "rows": {"written": rows}}
        write_atomically(folder / MANIFEST, json.dumps(manifest))
        store.publish(table, date(1998, 1, day), "run")
    return store


def _found(store, *args, **kwargs):
    return [(s.table, s.newest.day, s.ds.day) for s in stale(store, *args, **kwargs)]


def test_behind_the_newest_night_of_any_table_is_stale(store):
    # interactions may be 3 days behind, every other table 1; quiet days are no news
    assert _found(store) == [("interactions", 5, 9), ("item_profiles", 1, 9)]


def test_a_night_is_judged_by_what_was_published_for_it_or_before(store):
    assert _found(store, date(1998, 1, 8)) == [("items", 1, 8), ("item_profiles", 1, 8)]
    assert _found(store, date(1998, 1, 2)) == []
    assert _found(store, leaving_out=["interactions", "item_profiles"]) == []


def test_the_sentence_names_table_days_and_remedy(store):
    events, profiles = map(str, stale(store))
    assert events.startswith("interactions has no row since 1998-01-05, 4 days before")
    assert profiles.startswith("item_profiles was last published for 1998-01-01, 8 days before 1998-01-09")
    assert "run profile_items" in profiles


def test_an_empty_store_is_not_stale(tmp_path):
    assert stale(Store(tmp_path)) == []
