import json
from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest

from feature_store.errors import NightmillError, SettingsError, UsageError
from feature_store.partitions import Store, read
from jobs.ingest import JOB
from jobs.step import execute

FIRST, SECOND = date(1998, 1, 1), date(1998, 1, 2)


def _rows(store, table, ds):
    return read(table, store.published(table, ds).files).to_pylist()


def test_each_day_is_one_partition_with_the_events_of_that_day(make_settings):
    settings = make_settings()
    outcome = execute(JOB, SECOND, settings)
    store = Store(settings.data_root)
    assert not outcome.nothing_to_do
    assert [(r["user_id"], r["item_id"]) for r in _rows(store, "interactions", FIRST)] == [
        ("ann", "m1"),
        ("ann", "m2"),
    ]
    second = _rows(store, "interactions", SECOND)
    assert [(r["item_id"], r["weight"], r["event_time"]) for r in second] == [
        ("m1", 4.0, datetime(1998, 1, 2, tzinfo=UTC)),
        ("m3", 2.0, datetime(1998, 1, 2, 23, 59, 59, tzinfo=UTC)),
    ]


def test_a_ds_sees_nothing_of_the_day_after(make_settings):
    settings = make_settings()
    execute(JOB, FIRST, settings)
    store = Store(settings.data_root)
    assert [p.ds for p in store.partitions("interactions")] == [FIRST]
    users = _rows(store, "users", FIRST)
    assert [u["user_id"] for u in users] == ["ann"]
    assert users[0]["input_max_event_time"] < users[0]["as_of"] == datetime(1998, 1, 2, tzinfo=UTC)


def test_the_whole_catalogue_is_known_with_text_unharmed(make_settings):
    settings = make_settings(SOURCE__USER_ATTRIBUTES='["occupation"]')
    execute(JOB, SECOND, settings)
    store = Store(settings.data_root)
    items = {row["item_id"]: row for row in _rows(store, "items", SECOND)}
    assert items["m3"]["title"] == "Los ñandúes: «¿?»"
    assert items["m1"]["categories"] == ["Animation", "Comedy"]
    assert items["m4"]["categories"] == []
    assert json.loads(items["m1"]["attributes"]) == {"release_year": "1995"}
    users = {row["user_id"]: json.loads(row["attributes"]) for row in _rows(store, "users", SECOND)}
    assert users == {"ann": {"occupation": "technician"}, "bob": {"occupation": "other"}}


def test_a_second_run_has_nothing_to_do_until_the_source_changes(make_settings, source):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    assert execute(JOB, SECOND, settings).nothing_to_do
    with open(source / "tiny.inter", "a") as file:
        file.write("ann\tm3\t1\t883872000\n")
    assert not execute(JOB, SECOND, settings).nothing_to_do


def test_a_published_day_stays_as_it_is(make_settings, source):
    settings = make_settings()
    execute(JOB, FIRST, settings)
    before = Store(settings.data_root).published("interactions", FIRST)
    with open(source / "tiny.inter", "a") as file:
        file.write("bob\tm4\t1\t883620000\n")
    execute(JOB, SECOND, settings)
    assert Store(settings.data_root).published("interactions", FIRST) == before


def test_malformed_rows_are_quarantined_with_file_and_line(make_settings, source):
    with open(source / "tiny.inter", "a") as file:
        file.write("ann\tm1\n\tm1\t3\t883612900\nann\tm1\tlots\t883612900\nann\tm1\t3\tnoon\n")
    settings = make_settings(SOURCE__MAX_REFUSED_SHARE="0.5")
    execute(JOB, SECOND, settings)
    published = Store(settings.data_root).published("items", SECOND)
    rows = pq.read_table(published.quarantine).to_pylist()
    assert {(row["entity_id"], row["detail"].split(" is ")[0]) for row in rows} == {
        ("tiny.inter:6", "2 fields, not 4"),
        ("tiny.inter:7", "user_id"),
        ("tiny.inter:8", "rating"),
        ("tiny.inter:9", "timestamp"),
    }
    assert published.manifest["rows"]["quarantined"] == {"malformed": 4}
    counts = published.manifest["counts"]
    assert {name: counts[name] for name in ("read", "left_out", "merged", "selected")} == {
        "read": 8,
        "left_out": 0,
        "merged": 0,
        "selected": 4,
    }


def test_a_ds_before_the_data_says_when_the_data_begins(make_settings):
    with pytest.raises(UsageError, match=r"before the data.*first event is on 1998-01-01"):
        execute(JOB, date(1997, 12, 31), make_settings())


def test_a_missing_source_and_a_missing_column_are_named(make_settings, tmp_path):
    with pytest.raises(NightmillError, match="nowhere is not a folder"):
        execute(JOB, FIRST, make_settings(SOURCE__LOCATION=str(tmp_path / "nowhere")))
    with pytest.raises(
        SettingsError, match=r"source\.value = 'stars' is not a column of .*tiny\.inter; it has user_id"
    ):
        execute(JOB, FIRST, make_settings(SOURCE__VALUE="stars"))


def test_a_failed_run_publishes_nothing_and_leaves_no_files(make_settings):
    settings = make_settings(SOURCE__VALUE="stars")
    with pytest.raises(SettingsError):
        execute(JOB, FIRST, settings)
    assert not list(settings.data_root.rglob("*.parquet"))


def test_a_day_without_events_is_published_empty_with_a_warning(make_settings, capsys):
    settings = make_settings()
    execute(JOB, date(1998, 1, 5), settings)
    days = Store(settings.data_root).partitions("interactions")
    assert [(p.ds.day, p.manifest["rows"]["written"]) for p in days] == [(1, 2), (2, 2), (5, 0)]
    assert "no event on 1998-01-05" in capsys.readouterr().err
