"""What gc may remove and what it may not, whoever reads, publishes or is killed meanwhile."""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from feature_store import leases
from feature_store.errors import SettingsError
from feature_store.partitions import Store
from feature_store.settings import load_settings
from jobs import cli, gc
from jobs.sql import query

DAY = date(2026, 1, 1)
RETENTION = {"NIGHTMILL_RETENTION__GRACE_HOURS": "0", "NIGHTMILL_RETENTION__DAYS": "30"}


def _settings(root, **retention):
    return load_settings({"NIGHTMILL_DATA": str(root), **RETENTION, **retention})


def _stage(store, table, ds, run_id):
    folder = store.run_folder(table, ds, run_id)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"fingerprint": run_id}))
    (folder / "part-00000.parquet").write_bytes(b"12345")
    return folder


def _publish(store, table, ds, run_id):
    folder = _stage(store, table, ds, run_id)
    store.publish(table, ds, run_id)
    return folder


def _long_ago(root):
    """Date everything under a root an hour back, as if time had passed."""
    for path in [root, *root.rglob("*")]:
        before = path.lstat().st_mtime - 3600
        os.utime(path, (before, before))


def _collect(root, dry_run=False, **retention):
    # These runs hold no Parquet that a catalogue could be made of.
    with patch.object(gc, "rewrite"):
        return gc.collect(Store(root), _settings(root, **retention), dry_run)


@pytest.fixture
def collect(tmp_path):
    """`collect(dry_run)`: gc of `tmp_path` an hour after the last change."""

    def collect(dry_run=False, **retention):
        _long_ago(tmp_path)
        return _collect(tmp_path, dry_run, **retention)

    return collect


def test_a_superseded_run_goes_and_the_named_one_stays(tmp_path, collect):
    store = Store(tmp_path)
    old, new = _publish(store, "candidates", DAY, "a"), _publish(store, "candidates", DAY, "b")
    said = str(collect(dry_run=True))
    assert said.startswith("would remove 25 bytes")
    assert old.exists()
    assert "candidates: superseded or unfinished runs: 1" in str(collect())
    assert not old.exists()
    assert (new / "part-00000.parquet").exists()
    assert str(collect()) == "removed nothing"


def test_what_was_superseded_within_the_grace_stays(tmp_path, collect):
    store = Store(tmp_path)
    old, _ = _publish(store, "candidates", DAY, "a"), _publish(store, "candidates", DAY, "b")
    collect(NIGHTMILL_RETENTION__GRACE_HOURS="1.5")
    assert old.exists()


def test_the_leftovers_of_killed_runs_go_and_generations_and_ledger_stay(tmp_path, collect):
    store = Store(tmp_path)
    _publish(store, "candidates", DAY, "a")
    staged = _stage(store, "candidates", DAY, "killed")
    gone = [tmp_path / "scratch" / "score-killed" / "part-0.parquet", tmp_path / ".catalog.duckdb.4711"]
    gone.append(store.folder("candidates", DAY) / ".published.json.4711")
    kept = [tmp_path / name / "part-0.parquet" for name in ("generations", "ledger", "vectors")]
    for path in [*gone, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    collect()
    assert not any(path.exists() for path in [staged, *gone])
    assert all(path.exists() for path in kept)


def test_a_run_that_is_being_staged_stays(tmp_path, collect):
    store = Store(tmp_path)
    with store.lease():
        # the lease is dated back with the rest: what counts is that it is no younger than the run
        folder = _stage(store, "candidates", DAY, "a")
        collect()
        assert folder.exists()


def test_a_partition_behind_its_newest_loses_its_pointer_first_and_its_files_later(tmp_path, collect):
    store = Store(tmp_path)
    days = [DAY - timedelta(days=n) for n in (0, 29, 30)]
    folders = [_publish(store, "candidates", day, "a") for day in days]
    collect()
    assert [p.ds for p in store.partitions("candidates")] == [days[1], days[0]]
    assert all(folder.exists() for folder in folders)
    collect()
    assert [folder.exists() for folder in folders] == [True, True, False]


def test_what_was_ingested_never_expires(tmp_path, collect):
    store = Store(tmp_path)
    for table in ("interactions", "items", "users"):
        for day in (DAY, DAY - timedelta(days=1000)):
            _publish(store, table, day, "a")
    assert str(collect()) == "removed nothing"
    assert len(store.partitions("items")) == 2


def test_a_partition_whose_job_is_at_work_does_not_expire(tmp_path, collect):
    store = Store(tmp_path)
    for day in (DAY, DAY - timedelta(days=40)):
        _publish(store, "candidates", day, "a")
    with store.lock(f"fit_recall-{DAY - timedelta(days=40)}"):
        collect()
    assert len(store.partitions("candidates")) == 2
    collect()
    assert len(store.partitions("candidates")) == 1


def test_the_command_takes_the_files_of_a_replaced_run_and_queries_go_on(
    make_settings, publish, monkeypatch, capsys
):
    settings = make_settings()
    for title in ("old", "new"):
        publish(settings, "ingest", DAY, {"items": [{"item_id": "i1", "title": title}]})
    monkeypatch.setenv("NIGHTMILL_DATA", str(settings.data_root))
    monkeypatch.setenv("NIGHTMILL_RETENTION__GRACE_HOURS", "0.5")
    (before,) = Store(settings.data_root).partitions("items")
    _long_ago(settings.data_root)
    cli.run(["gc", "--dry-run"])
    assert capsys.readouterr().out.splitlines()[1].startswith("  items: superseded or unfinished runs: 1,")
    cli.run(["gc"])
    assert capsys.readouterr().out.startswith("removed ")
    assert [path.name for path in before.path.parent.iterdir()] == [before.run_id]
    assert query(Store(settings.data_root), "SELECT title FROM items", "csv") == "title\nnew"


def test_fewer_days_than_training_needs_are_refused(tmp_path, collect):
    with pytest.raises(SettingsError, match=r"retention\.days: 28 is too few.*at least 29"):
        collect(NIGHTMILL_RETENTION__DAYS="28")


class Killed(BaseException):
    """The moment a process dies: no handler of the program sees more of it than this."""


def _dying(call, after):
    calls = iter(range(10_000))

    def dying(*arguments, **named):
        if next(calls) == after:
            raise Killed
        return call(*arguments, **named)

    return dying


@pytest.mark.parametrize("call", ["unlink", "rename", "rmtree", "rmdir"])
def test_killed_at_any_call_that_removes_something_it_leaves_every_pointer_whole(
    tmp_path, collect, monkeypatch, call
):
    store = Store(tmp_path)
    for day in (DAY, DAY - timedelta(days=40)):
        for run_id in ("a", "b", "c"):
            _publish(store, "candidates", day, run_id)
    owner = {"unlink": os, "rename": Path, "rmtree": shutil, "rmdir": os}[call]
    for after in range(20):
        with monkeypatch.context() as patched:
            patched.setattr(owner, call, _dying(getattr(owner, call), after))
            try:
                collect()
            except Killed:
                pass
            else:
                break
        for partition in store.partitions("candidates"):
            assert partition.files
            assert partition.manifest
    assert after > 0, "it never died"
    collect()
    collect()
    runs = [path.relative_to(store.tables) for path in store.tables.glob("*/*/runs/*")]
    assert runs == [Path("candidates/ds=2026-01-01/runs/c")]


def _read_for_ever(root, began):
    with Store(root).lease():
        began.set()
        time.sleep(60)


def test_a_killed_reader_holds_nothing_back(tmp_path, collect):
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    reader = context.Process(target=_read_for_ever, args=(tmp_path, began))
    store = Store(tmp_path)
    old = _publish(store, "candidates", DAY, "a")
    reader.start()
    assert began.wait(30)
    _publish(store, "candidates", DAY, "b")
    assert leases.oldest(store.leases) is not None
    _collect(tmp_path)
    assert old.exists()
    reader.kill()
    reader.join()
    collect()
    assert not old.exists()
    assert list(store.leases.iterdir()) == []


class Readers(RuleBasedStateMachine):
    """Publish, stage, read, forget and collect in any order: nobody's files go while they are needed."""

    def __init__(self):
        super().__init__()
        self.stack = ExitStack()
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.store, self.runs, self.readers = Store(self.root), 0, []

    @rule(day=st.integers(0, 2), finished=st.booleans())
    def publish(self, day, finished):
        self.runs += 1
        run = _publish if finished else _stage
        run(self.store, "candidates", DAY - timedelta(days=31 * day), f"{self.runs}")

    @rule()
    def read(self):
        stack = ExitStack()
        stack.enter_context(self.store.lease())
        self.readers.append((stack, [p.path for p in self.store.partitions("candidates")]))

    @rule(which=st.integers(0, 9))
    def close(self, which):
        if self.readers:
            self.readers.pop(which % len(self.readers))[0].close()

    @rule()
    def collect(self):
        _collect(self.root)

    @invariant()
    def everything_needed_is_there(self):
        named = [p.path for p in self.store.partitions("candidates")]
        for folder in named + [path for _, paths in self.readers for path in paths]:
            assert (folder / "part-00000.parquet").read_bytes() == b"12345"

    def teardown(self):
        for stack, _ in self.readers:
            stack.close()
        _long_ago(self.root)
        _collect(self.root)
        _long_ago(self.root)
        _collect(self.root)
        left = [path.name for path in self.store.tables.glob("*/*/runs/*")]
        assert sorted(left) == sorted(p.run_id for p in self.store.partitions("candidates"))
        self.stack.close()


TestReaders = Readers.TestCase
TestReaders.settings = hypothesis_settings(max_examples=40, stateful_step_count=20)
