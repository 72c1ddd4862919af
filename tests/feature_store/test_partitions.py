import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read, write_atomically

DAY = date(2026, 1, 1)


def _complete_run(store, table, ds, run_id):
    folder = store.run_folder(table, ds, run_id)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"fingerprint": run_id}))


def test_a_run_is_invisible_until_it_is_published(tmp_path):
    store = Store(tmp_path)
    _complete_run(store, "items", DAY, "a")
    assert store.published("items", DAY) is None
    store.publish("items", DAY, "a")
    assert store.published("items", DAY).run_id == "a"


def test_publishing_again_moves_the_pointer_and_leaves_the_old_run(tmp_path):
    store = Store(tmp_path)
    for run_id in ("a", "b"):
        _complete_run(store, "items", DAY, run_id)
        store.publish("items", DAY, run_id)
    assert store.published("items", DAY).run_id == "b"
    assert store.run_folder("items", DAY, "a").is_dir()


def test_partitions_are_oldest_first_and_stop_at_until(tmp_path):
    store = Store(tmp_path)
    for day in (3, 1, 2):
        _complete_run(store, "items", date(2026, 1, day), "r")
        store.publish("items", date(2026, 1, day), "r")
    assert [p.ds.day for p in store.partitions("items")] == [1, 2, 3]
    assert [p.ds.day for p in store.partitions("items", until=date(2026, 1, 2))] == [1, 2]


def test_a_damaged_pointer_is_named(tmp_path):
    store = Store(tmp_path)
    pointer = store.folder("items", DAY) / "published.json"
    write_atomically(pointer, "{")
    with pytest.raises(NightmillError, match=r"published\.json is damaged"):
        store.published("items", DAY)


def test_the_pointer_repeats_the_fingerprint_and_older_pointers_have_it_read_from_the_manifest(tmp_path):
    store = Store(tmp_path)
    _complete_run(store, "items", DAY, "a")
    store.publish("items", DAY, "a")
    (store.run_folder("items", DAY, "a") / "manifest.json").write_text('{"fingerprint": "of the manifest"}')
    assert store.published("items", DAY).fingerprint == "a"
    write_atomically(store.folder("items", DAY) / "published.json", '{"run_id": "a"}')
    assert store.published("items", DAY).fingerprint == "of the manifest"


def test_many_days_are_published_each_by_itself_and_a_failure_is_raised(tmp_path):
    store = Store(tmp_path)
    days = [date(2026, 1, day) for day in range(1, 32)]
    for day in days[:-1]:
        _complete_run(store, "interactions", day, "r")
    with pytest.raises(FileNotFoundError):
        store.publish_all(("interactions", day, "r") for day in days)
    assert [p.ds for p in store.partitions("interactions")] == days[:-1]


def test_nulls_of_an_older_contract_are_refused_where_todays_allows_none(tmp_path):
    files = [tmp_path / "new.parquet", tmp_path / "old.parquet", tmp_path / "absent.parquet"]
    for file, titles in zip(files, (["x"], [None]), strict=False):
        pq.write_table(pa.table({"title": pa.array(titles, pa.string())}), file)
    pq.write_table(pa.table({"item_id": ["m1"]}), files[2])
    for older in ("old", "absent"):
        remedy = rf"{older}\.parquet was published .* without title .* `nightmill ingest --ds D --reprocess`"
        with pytest.raises(NightmillError, match=remedy):
            read("items", [files[0], tmp_path / f"{older}.parquet"], ["title"])


def test_reading_no_files_gives_the_schema():
    assert read("items", []).schema.names[:2] == ["item_id", "title"]
    assert read("items", [], ["title"]).num_rows == 0


def test_files_written_under_an_older_contract_are_read_under_todays(tmp_path):
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file, nullable in zip(files, (True, False), strict=True):
        schema = pa.schema([pa.field("title", pa.string(), nullable)])
        pq.write_table(pa.table({"title": ["x"]}, schema), file)
    assert read("items", files, ["title"]).to_pylist() == [{"title": "x"}] * 2


def test_a_column_that_came_later_is_null_in_older_files_where_it_may_be(tmp_path):
    files = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    pq.write_table(pa.table({"item_id": ["m1"]}), files[0])
    pq.write_table(pa.table({"price": [2.0], "item_id": ["m2"]}), files[1])
    rows = read("items", files, ["item_id", "price"]).to_pylist()
    assert rows == [{"item_id": "m1", "price": None}, {"item_id": "m2", "price": 2.0}]
