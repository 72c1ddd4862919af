"""The canary passes a night that is sound, and sings for each way in which one may not be."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import arrivals, ingest, profile_users
from jobs.canary import canary
from jobs.night import Night
from jobs.planting import plant, read_before, settings_of_copy
from jobs.sources import tables
from jobs.traces import differences, marks_in, too_new

DS = date(1998, 1, 2)
CHAIN = ("ingest", "profile_items", "profile_users")


@pytest.fixture
def settings(make_settings, monkeypatch):
    """Settings over two days of events; gates and catalogue are left to the real nights of other tests."""
    monkeypatch.setattr("feature_store.gates.check", lambda *_: [])
    monkeypatch.setattr("feature_store.catalog.rewrite", lambda _: None)
    monkeypatch.setattr("jobs.publish.stability", lambda *_: None, raising=False)
    return make_settings(
        GENERATION__ENGINE="fake",
        PROFILES__ITEM_MIN_EVENTS="0",
        SOURCE__USER_ATTRIBUTES='["occupation"]',
        EVALUATE__HORIZON_DAYS="1",
    )


def test_a_sound_night_leaves_no_trace_and_no_folder(settings):
    verdict = canary(DS, settings, CHAIN)
    assert verdict.traces == []
    # two nights: events, items, users and two tables of profiles each; 4 items and 1 or 2 users are shown
    assert (verdict.partitions, verdict.inputs) == (10, 11)
    assert "no trace of the future" in str(verdict)
    assert not verdict.folder.exists()
    assert list((settings.data_root / "generations").rglob("*.parquet"))


def _whole_history(monkeypatch):
    """profile_users reads every published day."""
    files = Night.files

    def every_day(night, table):
        if table != "interactions":
            return files(night, table)
        return [file for partition in night.store.partitions(table) for file in partition.files]

    monkeypatch.setattr(Night, "files", every_day)
    monkeypatch.setattr(profile_users, "recent_items", _without_as_of(profile_users.recent_items))


def _without_as_of(recent_items):
    return lambda files, as_of, last: recent_items(files, datetime(2100, 1, 1, tzinfo=UTC), last)


def _source_of_today(monkeypatch):
    """ingest takes the catalogue as it is now."""
    read = tables.read

    def everything(settings, as_of, *skip):
        past, now = read(settings, as_of, *skip), read(settings, None, *skip)
        return replace(now, events=past.events) if skip else past

    monkeypatch.setattr(tables, "read", everything)
    monkeypatch.setattr(ingest, "as_known", lambda night, table, current, dated: current)


def _users_of_tomorrow(monkeypatch):
    """ingest lists the users of all published days."""
    seen = arrivals.seen

    def all_of_them(files):
        folders = {file.parents[3] for file in files}
        return seen([file for folder in folders for file in folder.glob("ds=*/runs/*/part-*.parquet")])

    monkeypatch.setattr(ingest.arrivals, "seen", all_of_them)


@pytest.mark.parametrize(
    ("sabotage", "table", "column"),
    [
        (_whole_history, "user_profiles", "input_max_event_time"),
        (_source_of_today, "items", "title"),
        (_users_of_tomorrow, "users", "user_id"),
    ],
)
def test_a_job_that_sees_the_future_is_caught(settings, monkeypatch, sabotage, table, column):
    # A night would refuse such rows by itself; the canary must not need that.
    monkeypatch.setattr(Night, "_refuse_future", lambda *_: None)
    sabotage(monkeypatch)
    verdict = canary(DS, settings, CHAIN)
    found = [str(trace) for trace in verdict.traces]
    assert any(table in trace and f"column {column}" in trace for trace in found), found
    assert verdict.folder.exists()


def test_the_copy_is_the_source_until_the_night_ends_and_marked_after_it(settings, tmp_path):
    raw = read_before(settings, DS)
    planted = plant(raw, settings, DS, "mark", tmp_path / "copy")
    copy = settings_of_copy(raw, settings, tmp_path / "copy", tmp_path / "data")
    end = datetime(1998, 1, 3, tzinfo=UTC)
    again = tables.read(copy, end)
    for name in ("events", "items", "users"):
        mine, other = getattr(again, name), getattr(raw, name)
        assert (
            mine.sort_by(mine.column_names[0]).to_pylist() == other.sort_by(other.column_names[0]).to_pylist()
        )
    later = tables.read(copy)
    new = later.events.filter(pa.compute.greater_equal(later.events["event_time"], pa.scalar(end)))
    assert new.num_rows == planted["interactions"] > 0
    assert pa.compute.min(new["event_time"]).as_py() == end
    assert any(user.startswith("mark-user") for user in new["user_id"].to_pylist())
    assert "ann" in new["user_id"].to_pylist()
    assert {row["title"] for row in later.items.to_pylist() if row["item_id"] == "m1"} == {"mark"}


def test_a_copy_publishes_to_no_remote(make_settings, tmp_path):
    shared = make_settings(STORE__REMOTE="memory://shared")
    raw = read_before(shared, DS)
    assert settings_of_copy(raw, shared, tmp_path / "copy", tmp_path / "data").store.remote == ""


def test_returns_keep_their_sign_in_the_copy(settings, source, tmp_path):
    (source / "events.csv").write_text(
        "user_id,item_id,rating,timestamp,kind\nann,m1,2,883612800,buy\nann,m1,-2,883612900,back\n"
    )
    mapping = {"interactions": "events.csv", "event": "kind", "event_weights": {"buy": 1.0, "back": -1.0}}
    mapped = settings.model_copy(update={"source": settings.source.model_copy(update=mapping)})
    raw = read_before(mapped, DS)
    plant(raw, mapped, DS, "mark", tmp_path / "copy")
    copy = settings_of_copy(raw, mapped, tmp_path / "copy", tmp_path)
    events = tables.read(copy, datetime(1998, 1, 3, tzinfo=UTC)).events
    weights = dict(zip(events["event_type"].to_pylist(), events["weight"].to_pylist(), strict=True))
    assert weights == {"buy": 2.0, "back": -2.0}


def test_marks_are_found_in_rows_lists_and_text(tmp_path):
    folder = tmp_path / "tables" / "items"
    folder.mkdir(parents=True)
    rows = pa.table({"item_id": ["a", "b"], "categories": [["x"], ["y", "a mark"]], "price": [1.0, 2.0]})
    pq.write_table(rows, folder / "part-00000.parquet")
    (tmp_path / "manifest.json").write_text('{\n"note": "the mark"}')
    (tmp_path / "clean.json").write_text("{}")
    files = [folder / "part-00000.parquet", tmp_path / "manifest.json", tmp_path / "clean.json"]
    assert [(t.where, t.column, t.row) for t in marks_in(files, "mark", tmp_path)] == [
        ("tables/items/part-00000.parquet", "categories", "item_id=b"),
        ("manifest.json", "text", "line 2"),
    ]


def test_rows_that_are_too_new_or_differ_are_named(partition):
    end = datetime(1998, 1, 3, tzinfo=UTC)
    ann, bob = {"user_id": "ann"}, {"user_id": "bob", "attributes": "{}"}
    sound = partition("users", DS, [ann, bob], end)
    other = partition("users", DS, [bob | {"attributes": "{1}"}, ann], end)
    new = partition("users", DS, [ann | {"input_max_event_time": end}], end)
    assert list(too_new(sound)) == []
    assert [(t.column, t.row) for t in too_new(new)] == [("input_max_event_time", "user_id=ann")]
    assert list(differences(sound, sound)) == []
    assert [(t.column, t.row) for t in differences(sound, other)] == [("attributes", "user_id=bob")]
    assert [t.problem for t in differences(new, other)] == ["1 rows with a future, 2 without"]
