"""A remote store seen from several machines, each a data root of its own."""

import json
import shutil
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from feature_store.errors import NightmillError, SettingsError
from feature_store.partitions import Store
from feature_store.remote import RemoteStore, open_store
from jobs.ingest import JOB as INGEST
from jobs.sql import query
from jobs.step import execute

DAY = date(2026, 1, 1)


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    return f"{request.param}://{tmp_path / 'remote'}"


@pytest.fixture
def machine(tmp_path, url):
    """`machine(name)`: the store as the machine of that name sees it."""
    return lambda name: RemoteStore(tmp_path / name, url)


def _stage(store, run_id, ds=DAY):
    folder = store.run_folder("items", ds, run_id)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"fingerprint": f"of {run_id}"}))
    pq.write_table(pa.table({"title": [run_id]}), folder / "part-00000.parquet")


def _publish(store, run_id, ds=DAY):
    _stage(store, run_id, ds)
    store.publish("items", ds, run_id)


def _titles(store, ds=DAY):
    partition = store.published("items", ds)
    return [title for file in partition.files for title in pq.read_table(file)["title"].to_pylist()]


def test_another_machine_finds_what_was_published_and_keeps_a_copy(machine):
    _publish(machine("a"), "first")
    b = machine("b")
    assert _titles(b) == ["first"]
    assert b.published("items", DAY).fingerprint == "of first"
    assert b.published("items", DAY).manifest == {"fingerprint": "of first"}
    assert _titles(Store(b.root)) == ["first"]
    assert b.published("items", date(2026, 1, 2)) is None


def test_partitions_of_all_machines_are_listed_and_those_later_are_not_fetched(machine):
    for name, day in (("a", 3), ("b", 1), ("a", 2)):
        _publish(machine(name), name, date(2026, 1, day))
    c = machine("c")
    assert [p.ds.day for p in c.partitions("items", date(2026, 1, 2))] == [1, 2]
    assert not c.folder("items", date(2026, 1, 3)).exists()
    assert [p.ds.day for p in c.partitions("items")] == [1, 2, 3]
    assert c.partitions("users") == []


def test_the_last_pointer_counts_and_the_replaced_run_stays_whole(machine):
    a, b = machine("a"), machine("b")
    _publish(a, "first")
    before = b.published("items", DAY)
    _publish(a, "second")
    _publish(b, "third")
    assert _titles(a) == _titles(b) == ["third"]
    assert [p.run_id for p in a.partitions("items")] == ["third"]
    assert pq.read_table(before.files[0])["title"].to_pylist() == ["first"]


def test_a_listing_without_news_opens_no_remote_file(machine, monkeypatch):
    a = machine("a")
    _publish(a, "first")
    a.partitions("items")
    monkeypatch.setattr(type(a.remote), "cat_file", lambda *_: pytest.fail("it read a pointer again"))
    assert [p.run_id for p in a.partitions("items")] == ["first"]


@pytest.mark.parametrize("fails_at", [0, 1])
def test_an_upload_that_breaks_off_publishes_nothing_anywhere(machine, url, monkeypatch, fails_at):
    a, b = machine("a"), machine("b")
    _publish(a, "first")
    put, calls = a.remote.put_file, iter(range(9))

    def broken(*arguments, **named):
        if next(calls) == fails_at:
            raise ConnectionResetError("by peer")
        return put(*arguments, **named)

    _stage(a, "second")
    with monkeypatch.context() as patched:
        patched.setattr(a.remote, "put_file", broken)
        with pytest.raises(
            NightmillError, match=rf"^{url}/runs/items/2026-01-01/second/.* cannot be reached"
        ):
            a.publish("items", DAY, "second")
    assert _titles(a) == _titles(b) == ["first"]
    a.publish("items", DAY, "second")
    assert _titles(b) == ["second"]


def test_a_machine_that_dies_between_the_two_pointers_is_put_right_by_the_remote_one(machine, monkeypatch):
    a = machine("a")
    _publish(a, "first")
    _stage(a, "second")
    with monkeypatch.context() as patched:
        patched.setattr("feature_store.partitions.write_atomically", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            a.publish("items", DAY, "second")
    assert Store(a.root).published("items", DAY).run_id == "first"
    assert _titles(a) == ["second"]


def test_a_fetch_that_is_cut_short_leaves_what_was_there_and_the_next_one_is_whole(machine, monkeypatch):
    a, b = machine("a"), machine("b")
    _publish(a, "first")
    assert _titles(b) == ["first"]
    _publish(a, "second")

    def partly(_, here):
        with open(here, "wb") as file:
            file.write(b"PAR1")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(b.remote, "get_file", partly)
        with pytest.raises(KeyboardInterrupt):
            b.published("items", DAY)
    assert Store(b.root).published("items", DAY).run_id == "first"
    assert _titles(b) == ["second"]


def test_a_file_that_is_not_what_was_published_is_refused_by_name(machine, url):
    a, b = machine("a"), machine("b")
    _publish(a, "first")
    path = "runs/items/2026-01-01/first/part-00000.parquet"
    size = (a.run_folder("items", DAY, "first") / "part-00000.parquet").stat().st_size
    a.remote.pipe_file(f"{a.base}/{path}", b"x" * size)
    with pytest.raises(NightmillError, match=f"^{url}/{path} is not the file that was published"):
        b.published("items", DAY)
    assert Store(b.root).partitions("items") == []


def test_a_damaged_remote_pointer_is_named(machine, url):
    a = machine("a")
    _publish(a, "first")
    a.remote.pipe_file(f"{a.base}/published/items/2026-01-01.json", b"{")
    with pytest.raises(NightmillError, match=f"^{url}/published/items/2026-01-01.json is damaged"):
        machine("b").published("items", DAY)


def test_a_withdrawn_partition_is_gone_for_machines_that_never_had_it(machine):
    a = machine("a")
    _publish(a, "first")
    a.withdraw("items", DAY)
    assert a.partitions("items") == machine("b").partitions("items") == []


def test_a_run_that_was_collected_is_fetched_again_when_the_remote_points_at_it(machine):
    a = machine("a")
    _publish(a, "first")
    pointer = f"{a.base}/published/items/2026-01-01.json"
    first = a.remote.cat_file(pointer)
    _publish(a, "second")
    shutil.rmtree(a.run_folder("items", DAY, "first"))
    a.remote.pipe_file(pointer, first)
    assert _titles(a) == ["first"]


def test_passwords_in_a_location_are_not_shown(tmp_path):
    with pytest.raises(SettingsError) as caught:
        RemoteStore(tmp_path, "nosuch://me:secret@host/path")
    assert "nosuch://host/path cannot be reached" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_a_remote_no_driver_is_asked(make_settings):
    assert type(open_store(make_settings())) is Store


def test_a_second_data_root_goes_on_where_the_first_one_stopped(make_settings, tmp_path):
    remote = {"STORE__REMOTE": "memory://shared"}
    first = make_settings(**remote)
    assert not execute(INGEST, date(1998, 1, 2), first).nothing_to_do
    second = first.model_copy(update={"data_root": tmp_path / "second"})
    assert execute(INGEST, date(1998, 1, 2), second).nothing_to_do
    assert query(open_store(second), "SELECT count(*) n FROM interactions", "csv") == "n\n4"
    MemoryFileSystem().rm("/shared", recursive=True)
