import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError, SettingsError, UsageError
from feature_store.forgotten import add
from feature_store.partitions import Store, read
from jobs.forget import forget
from jobs.ingest import JOB
from jobs.step import execute

FIRST, SECOND = date(1998, 1, 1), date(1998, 1, 2)


@pytest.fixture(autouse=True)
def _no_gates(monkeypatch):
    """Gates and catalogue would take most of a test's time; the real nights of other tests run them."""
    monkeypatch.setattr("feature_store.gates.check", lambda *_: [])
    monkeypatch.setattr("feature_store.catalog.rewrite", lambda _: None)


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


def _append(source, lines, suffix="inter"):
    with open(source / f"tiny.{suffix}", "a") as file:
        file.write(lines)


def _pointers(store, until=date(1999, 1, 1)):
    tables = ("interactions", "items", "users")
    return {(table, p.ds): p.run_id for table in tables for p in store.partitions(table, until)}


def test_what_is_published_stays_when_the_source_changes_and_that_is_said(make_settings, source):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    before = _pointers(Store(settings.data_root))
    again = execute(JOB, SECOND, settings)
    assert (again.nothing_to_do, again.notes) == (True, ())
    _append(source, "ann\tm3\t1\t883620000\n")
    again = execute(JOB, SECOND, settings)
    assert again.nothing_to_do
    assert "the source or its mapping has changed" in again.notes[0]
    assert _pointers(Store(settings.data_root)) == before


LATE = "bob\tm4\t1\t883620000\n"  # on 1998-01-01


def test_an_event_that_comes_late_enters_the_next_night_only(make_settings, source, capsys):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    store = Store(settings.data_root)
    before = _pointers(store)
    _append(source, LATE + "ann\tm3\t1\t883785600\n")
    outcome = execute(JOB, date(1998, 1, 3), settings)
    assert (outcome.counts["late"], outcome.counts["new"]) == (1, 2)
    assert (
        "1 events of 1 days up to 1998-01-02 came late: they are part of 1998-01-03"
        in capsys.readouterr().err
    )
    assert _pointers(store, SECOND) == before
    third = {r["item_id"]: r for r in _rows(store, "interactions", date(1998, 1, 3))}
    assert third["m4"]["event_time"].day == 1
    # known with its night, not with its day
    assert third["m4"]["ingested_at"] == datetime(1998, 1, 4, 6, tzinfo=UTC)
    execute(JOB, date(1998, 1, 4), settings)
    assert _rows(store, "interactions", date(1998, 1, 4)) == []


def test_a_late_event_waits_when_an_older_night_is_filled_in(make_settings, source):
    settings = make_settings()
    execute(JOB, date(1998, 1, 5), settings)
    _append(source, LATE)
    execute(JOB, date(1998, 1, 4), settings)
    store = Store(settings.data_root)
    assert _rows(store, "interactions", date(1998, 1, 4)) == []
    execute(JOB, date(1998, 1, 6), settings)
    assert [r["item_id"] for r in _rows(store, "interactions", date(1998, 1, 6))] == ["m4"]


def test_reprocess_rebuilds_the_days_that_are_different_and_only_those(make_settings, source):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    store = Store(settings.data_root)
    before = _pointers(store)
    _append(source, LATE)
    execute(JOB, SECOND, settings, reprocess=True)
    after = _pointers(store)
    assert {key for key in after if after[key] != before[key]} == {
        ("interactions", FIRST),
        ("items", SECOND),
        ("users", SECOND),
    }
    assert len(_rows(store, "interactions", FIRST)) == 3


def test_reprocess_leaves_an_event_in_the_later_night_it_entered(make_settings, source):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    _append(source, LATE)
    execute(JOB, date(1998, 1, 3), settings)
    execute(JOB, SECOND, settings, reprocess=True)
    store = Store(settings.data_root)
    everywhere = [r for p in store.partitions("interactions") for r in _rows(store, "interactions", p.ds)]
    assert len(everywhere) == len({(r["user_id"], r["item_id"], r["event_time"]) for r in everywhere}) == 5


def _titles(store, ds):
    return {row["item_id"]: row["title"] for row in _rows(store, "items", ds)}


def _rename(source, old="GoldenEye", new="The New Title"):
    file = source / "tiny.item"
    file.write_text(file.read_text("utf-8").replace(old, new) + "m9\tNewcomer\t1998\tDrama\n", "utf-8")


def test_a_title_changed_on_tuesday_is_the_old_one_for_monday(make_settings, source):
    settings = make_settings()
    execute(JOB, FIRST, settings)
    _rename(source)
    execute(JOB, date(1998, 1, 3), settings)
    store = Store(settings.data_root)
    assert _titles(store, date(1998, 1, 3))["m2"] == "The New Title"
    assert execute(JOB, FIRST, settings).nothing_to_do
    assert _titles(store, FIRST)["m2"] == "GoldenEye"
    # a night filled in between them knows what the one before it knew
    execute(JOB, SECOND, settings)
    between = _titles(store, SECOND)
    assert (between["m2"], "m9" in between) == ("GoldenEye", False)


def test_a_night_before_the_first_knows_no_more_than_it(make_settings, source):
    settings = make_settings()
    execute(JOB, SECOND, settings)
    _rename(source)
    execute(JOB, FIRST, settings)
    assert _titles(Store(settings.data_root), FIRST)["m2"] == "GoldenEye"


def test_dated_rows_of_the_catalogue_are_believed_of_the_past(make_settings, source):
    rows = ("m1\tOld\t", "m1\tNew\t1998-01-02", "m5\tLater\t1998-01-02")
    dated = "\n".join(["item_id:token\tmovie_title:token_seq\tsince:token", *rows, ""])
    (source / "tiny.item").write_text(dated)
    mapping = {"SOURCE__ITEM_TIME": "since", "SOURCE__CATEGORIES": "", "SOURCE__ITEM_ATTRIBUTES": "[]"}
    settings = make_settings(**mapping)
    for ds in (SECOND, FIRST):
        execute(JOB, ds, settings)
    store = Store(settings.data_root)
    assert _titles(store, FIRST) == {"m1": "Old", "m2": "m2"}
    assert _titles(store, SECOND) == {"m1": "New", "m5": "Later", "m2": "m2", "m3": "m3"}
    newest = {r["item_id"]: r["input_max_event_time"] for r in _rows(store, "items", SECOND)}
    assert (newest["m1"], newest["m2"]) == (datetime(1998, 1, 2, tzinfo=UTC), None)


def test_what_only_has_events_is_not_listed_and_not_before_its_first_event(make_settings, source):
    _append(source, "bob\tghost\t1\t883785600\n")  # on 1998-01-03
    settings = make_settings()
    for ds in (date(1998, 1, 3), SECOND):
        execute(JOB, ds, settings)
    store = Store(settings.data_root)
    assert "ghost" not in _titles(store, SECOND)
    third = {row["item_id"]: row["listed"] for row in _rows(store, "items", date(1998, 1, 3))}
    assert (third["ghost"], third["m4"]) == (False, True)


def test_a_day_of_its_own_file_is_read_once(make_settings, tmp_path):
    folder = tmp_path / "daily"
    (folder / "interactions").mkdir(parents=True)
    (folder / "items.csv").write_text("item_id,movie_title\nm1,Toy Story\n")
    mapping = {"SOURCE__LOCATION": str(folder), "SOURCE__VALUE": "", "SOURCE__CATEGORIES": ""}
    settings = make_settings(**mapping, SOURCE__ITEM_ATTRIBUTES="[]")

    def arrive(day, *users):
        lines = "".join(f"{user},m1,1998-01-0{day}T10:00:00\n" for user in users)
        (folder / "interactions" / f"{day}.csv").write_text("user_id,item_id,timestamp\n" + lines)
        return execute(JOB, date(1998, 1, day), settings).counts

    counts = [arrive(1, "ann"), arrive(2, "ann", "bob"), arrive(3, "eve")]
    assert [(c["read"], c["files_unchanged"], c["new"]) for c in counts] == [(1, 0, 1), (2, 1, 2), (1, 2, 1)]
    users = [row["user_id"] for row in _rows(Store(settings.data_root), "users", date(1998, 1, 3))]
    assert users == ["ann", "bob", "eve"]
    # a file that changed is read again, and what is new in it came late
    (folder / "interactions" / "1.csv").write_text(
        "user_id,item_id,timestamp\nann,m1,1998-01-01T10:00:00\nzoe,m1,1998-01-01T11:00:00\n"
    )
    counts = arrive(4, "ann")
    assert (counts["read"], counts["files_unchanged"], counts["late"], counts["new"]) == (3, 2, 1, 2)


NIGHTS = [date(1998, 1, day) for day in (1, 2, 4, 5)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(order=st.permutations(NIGHTS))
def test_nights_in_any_order_give_the_same_tables(make_settings, tmp_path_factory, order):
    def contents(order):
        root = tmp_path_factory.mktemp("order")
        mapping = make_settings().model_copy(update={"data_root": root})
        for ds in order:
            execute(JOB, ds, mapping)
        store = Store(root)
        return {
            (table, p.ds): (p.fingerprint, p.manifest["rows"]["written"])
            for table in ("interactions", "items", "users")
            for p in store.partitions(table)
        }

    assert contents(order) == contents(NIGHTS)


def test_two_nights_ingested_at_once_publish_no_day_twice(make_settings):
    settings = make_settings()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda ds: execute(JOB, ds, settings), (SECOND, FIRST)))
    tables = Store(settings.data_root).tables
    runs = sorted(str(path.parent.relative_to(tables)) for path in tables.glob("*/*/runs/*"))
    assert runs == sorted(
        f"{table}/ds={ds}/runs" for table in ("interactions", "items", "users") for ds in (FIRST, SECOND)
    )


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
    assert {name: counts[name] for name in ("read", "left_out", "merged", "new")} == {
        "read": 8,
        "left_out": 0,
        "merged": 0,
        "new": 4,
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


def test_forgotten_users_are_left_out_and_no_row_of_theirs_is_kept(make_settings, source):
    settings = make_settings(SOURCE__USER_ATTRIBUTES='["occupation"]', SOURCE__MAX_REFUSED_SHARE="0.6")
    with open(source / "tiny.inter", "a") as file:
        file.write("ann\tm1\t5\tnever\nbob\tm1\t5\tnever\n")
    with open(source / "tiny.user", "a") as file:
        file.write("ann\t24\tpilot\n")
    store = Store(settings.data_root)
    add(store, ["ann"])
    outcome = execute(JOB, SECOND, settings)
    # ann: two events and one that is none; bob: two events and one that is none
    assert (outcome.counts["read"], outcome.counts["forgotten"], outcome.counts["new"]) == (6, 3, 2)
    assert {row["user_id"] for row in _rows(store, "users", SECOND)} == {"bob"}
    assert {row["user_id"] for row in _rows(store, "interactions", SECOND)} == {"bob"}
    refused = pq.read_table(store.published("items", SECOND).quarantine)["raw"].to_pylist()
    assert len(refused) == 1
    assert "bob" in refused[0]


def test_a_day_that_lost_a_forgotten_user_is_not_rebuilt_for_that(make_settings, source, monkeypatch):
    monkeypatch.setattr("jobs.forget.rewrite", lambda _: None)
    settings = make_settings()
    store = Store(settings.data_root)
    execute(JOB, SECOND, settings)
    forget(store, settings, ["ann"])
    days = {p.ds: p.run_id for p in store.partitions("interactions")}
    again = execute(JOB, SECOND, settings, reprocess=True)
    assert {p.ds: p.run_id for p in store.partitions("interactions")} == days
    assert again.counts["new"] == 0
    assert {row["user_id"] for row in _rows(store, "users", SECOND)} == {"bob"}
