"""A user is forgotten: nothing of it is found, others are as before, and dying half-way does no harm."""

import multiprocessing
import os
import shutil
import signal
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.errors import UsageError
from feature_store.forgotten import Forgotten
from feature_store.partitions import Store, read, read_leniently
from feature_store.remote import open_store
from feature_store.tables import TABLES
from jobs import cli
from jobs.forget import forget
from jobs.forgetting.people import user_column
from jobs.llm.generations import Generations
from jobs.step import execute
from tests.jobs.forgetting.data_root import ANN, KEEPER, NEAR, NIGHTS, key_of, make, make_tables
from tests.jobs.forgetting.search import forms, places


@pytest.fixture
def settings(make_settings, publish):
    """Settings over a data root in which ANN is wherever a user can be."""
    made = make_settings(SOURCE__USER_ATTRIBUTES='["occupation"]')
    make(made, publish)
    return made


KNOWN = {
    *("interactions", "users", "user_profiles", "user_embeddings", "synthetic_interactions", "lifetimes"),
    *("user_features", "user_factors", "candidates", "training_set", "synthetic_pairs", "recommendations"),
}


def _rows_of_others(store, ids):
    """Every published value of everybody else, but for the name of the run."""
    found = {}
    for table in TABLES:
        for partition in store.partitions(table):
            rows = read_leniently(TABLES[table].schema, partition.files)
            rows = rows.drop_columns([name for name in ("run_id",) if name in rows.column_names]).to_pylist()
            theirs = [r for r in rows if ids & {r.get("user_id"), r.get("entity_id")}]
            found[table, partition.ds] = [row for row in rows if row not in theirs]
            if partition.quarantine:
                refused = pq.read_table(partition.quarantine, partitioning=None).drop_columns(["run_id"])
                lines = [str(row) for row in refused.to_pylist()]
                theirs = [
                    n for n, line in enumerate(lines) if any(f in line.encode() for f in forms(list(ids)))
                ]
                found[table, partition.ds, "refused"] = [r for n, r in enumerate(lines) if n not in theirs]
    return found


def _fingerprints(store):
    return {(t, p.ds): p.fingerprint for t in TABLES for p in store.partitions(t)}


KINDS = (
    *(f"tables/{name}/" for name in sorted(KNOWN)),
    *("tables/items/", "generations/profile_user/part-", "generations/profile_user/damaged/", "inputs/"),
    *("airflow/logs/", "reports/", "report.html", "data_docs/checks", "data_docs/validations", "scratch/"),
)


def test_nothing_is_left_of_the_user_and_everything_of_the_others(settings):
    root, store = settings.data_root, Store(settings.data_root)
    before = places(root, [ANN, KEEPER])
    assert [kind for kind in KINDS if not any(place.startswith(kind) for place in before)] == []
    others, fingerprints = _rows_of_others(store, {ANN}), _fingerprints(store)
    said = str(forget(store, settings, [ANN]))
    assert places(root, [ANN, KEEPER]) == []
    assert _rows_of_others(store, {ANN}) == others
    assert all("bob" in str(others[table, NIGHTS[0]]) for table in KNOWN)
    assert _fingerprints(store) == fingerprints
    assert "candidates, rows in published nights: 2 in 2" in said
    assert "the rankers of 1998-01-07, 1998-01-14 learnt" in said
    assert ANN not in said


def test_every_table_that_can_name_a_user_is_known():
    """A new one needs a rule in jobs/forgetting/people.py, and a row in the data root of these tests."""
    by_item = {"item_id", "item_ids", "other_item_id"}
    named = {
        t.name
        for t in TABLES.values()
        if any(c.name.endswith("_id") and c.name not in by_item | {"model_id"} for c in t.columns)
    }
    assert named == KNOWN
    assert {name for name in TABLES if user_column(TABLES[name])} == KNOWN


def test_one_user_with_a_name_that_others_contain(settings):
    store = Store(settings.data_root)
    others = _rows_of_others(store, {NEAR})
    forget(store, settings, [NEAR])
    assert _rows_of_others(store, {NEAR}) == others
    assert all(ANN in str(others[table, NIGHTS[1]]) for table in KNOWN)
    lifetimes = read("lifetimes", store.published("lifetimes", NIGHTS[1]).files).to_pylist()
    assert [(r["entity"], r["entity_id"]) for r in lifetimes] == [
        ("item", "bob"),
        ("item", NEAR),
        ("user", "bob"),
        ("user", ANN),
    ]


def test_an_answer_that_another_row_names_too_stays_and_is_nobodys(settings):
    store, kept = Store(settings.data_root), Generations(settings.data_root)
    shared = key_of("bob", NIGHTS[0])
    forget(store, settings, ["bob"])
    # Of two stored answers the first counts; both were of one question.
    assert kept.find("profile_user", [shared, key_of("bob", NIGHTS[1])]).keys() == {shared}
    rows = pa.concat_tables([pq.read_table(part) for part in kept.parts("profile_user")]).to_pylist()
    assert {row["user_id"] for row in rows if row["key"] == shared} == {None, NEAR}
    assert "bob" not in {row["user_id"] for row in rows}
    assert "bad-bob" not in {row["key"] for row in rows}


def test_a_dry_run_says_the_same_and_changes_nothing(settings):
    store = Store(settings.data_root)
    before = {path: path.read_bytes() for path in _files(settings.data_root)}
    said = str(forget(store, settings, [ANN], dry_run=True))
    assert {path: path.read_bytes() for path in _files(settings.data_root)} == before
    assert "nothing was changed (--dry-run)" in said
    done = str(forget(store, settings, [ANN]))
    # What is superseded only by the forgetting itself is not counted there either.
    assert [line for line in said.splitlines() if line.startswith("  ")] == [
        line for line in done.splitlines() if line.startswith("  ")
    ]


def _files(root):
    return sorted(p for p in root.rglob("*") if p.is_file() and not {"locks", "leases"} & set(p.parts))


def test_a_user_that_is_nowhere_is_left_out_from_now_on(settings, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTMILL_DATA", str(settings.data_root))
    monkeypatch.setattr("feature_store.catalog.rewrite", lambda _: None)
    cli.run(["forget", "--user-id", "nobody-at-all"])
    said = capsys.readouterr().out
    assert said.startswith(f"nothing of this user is in {settings.data_root}\nremoved, whosever they were:\n")
    assert "\ningest leaves this user out from now on." in said
    listed = Forgotten.read(Store(settings.data_root))
    assert "nobody-at-all" in listed
    assert ANN not in listed


def test_an_empty_id_is_refused(settings):
    with pytest.raises(UsageError, match="--user-id is empty"):
        forget(Store(settings.data_root), settings, ["ok", " "])


@pytest.fixture
def _no_gates(monkeypatch):
    """Gates and catalogue are left to the whole chain."""
    monkeypatch.setattr("feature_store.gates.check", lambda *_: [])
    monkeypatch.setattr("feature_store.catalog.rewrite", lambda _: None)


SHORT_CHAIN = ("ingest", "profile_items", "profile_users")


@pytest.mark.usefixtures("_no_gates")
def test_no_job_has_a_reason_to_run_again_and_the_next_night_does_not_bring_the_user_back(
    make_settings, source
):
    settings = make_settings(GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0")
    night, later = date(1998, 1, 2), date(1998, 1, 3)
    for name in SHORT_CHAIN:
        execute(cli.load_job(name), night, settings)
    store = Store(settings.data_root)
    assert any("ann" in str(rows) for rows in _rows_of_others(store, set()).values())
    forget(store, settings, ["ann"])
    again = [execute(cli.load_job(name), night, settings) for name in SHORT_CHAIN]
    assert [outcome.nothing_to_do for outcome in again] == [True] * len(SHORT_CHAIN)
    with open(source / "tiny.inter", "a") as file:
        file.write("ann\tm1\t5\t883785600\nbob\tm2\t5\t883785601\n")
    assert execute(cli.load_job("ingest"), later, settings).counts["forgotten"] == 3
    users = read("users", store.published("users", later).files)["user_id"].to_pylist()
    assert users == ["bob"]


@pytest.mark.usefixtures("_no_gates")
def test_a_remote_and_the_machines_that_share_it(settings, publish, tmp_path):
    remote = tmp_path / "remote"
    here, there = (
        settings.model_copy(
            update={
                "data_root": root,
                "store": settings.store.model_copy(update={"remote": f"file://{remote}"}),
            }
        )
        for root in (settings.data_root, tmp_path / "other")
    )
    make_tables(here, publish)
    other = open_store(there)
    assert other.partitions("users")[0].files
    assert len(places(remote, [ANN])) > 10
    said = str(forget(open_store(here), here, [ANN]))
    assert "superseded runs in the remote: " in said
    assert places(remote, [ANN, KEEPER]) == []
    assert places(settings.data_root, [ANN, KEEPER]) == []
    # The other machine follows what is published, and has a copy of what was until it forgets as well.
    assert "bob" in str(_rows_of_others(other, {ANN})["users", NIGHTS[0]])
    assert ANN not in str(read("users", other.published("users", NIGHTS[0]).files).to_pylist())
    assert ANN in Forgotten.read(other)
    assert places(there.data_root, [ANN]) != []
    forget(other, there, [ANN])
    assert places(there.data_root, [ANN, KEEPER]) == []
    assert "bob" in str(_rows_of_others(other, {ANN})["users", NIGHTS[0]])


class Killed(BaseException):
    """The moment a process dies: no handler of the program sees more of it than this."""


def _dying(call, after):
    calls = iter(range(100_000))

    def dying(*arguments, **named):
        if next(calls) == after:
            raise Killed
        return call(*arguments, **named)

    return dying


def _calls(settings, monkeypatch, owner, call):
    """How often a whole forgetting calls a function."""
    calls, real = [], getattr(owner, call)
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, lambda *a, **named: calls.append(1) or real(*a, **named))
        forget(Store(settings.data_root), settings, [ANN])
    return len(calls)


@pytest.mark.parametrize(("owner", "call"), [(os, "replace"), (shutil, "rmtree"), (os, "fsync")])
def test_killed_anywhere_and_run_again_it_finishes(settings, tmp_path, monkeypatch, owner, call):
    monkeypatch.setattr("jobs.forget.rewrite", lambda _: None)
    kept = tmp_path / "kept"
    shutil.copytree(settings.data_root, kept)
    store = Store(settings.data_root)
    others = _rows_of_others(store, {ANN})
    last = _calls(settings, monkeypatch, owner, call) - 1
    assert last > 10
    for after in (1, last // 3, 2 * last // 3, last):
        shutil.rmtree(settings.data_root)
        shutil.copytree(kept, settings.data_root)
        with monkeypatch.context() as patched:
            patched.setattr(owner, call, _dying(getattr(owner, call), after))
            with pytest.raises(Killed):
                forget(store, settings, [ANN])
        assert ANN in Forgotten.read(store)
        assert _rows_of_others(store, {ANN}) == others
        forget(store, settings, [ANN])
        assert places(settings.data_root, [ANN, KEEPER]) == []
        assert _rows_of_others(store, {ANN}) == others


def _forget_and_die(settings):
    rename = os.replace
    calls = iter(range(100))

    def dying(*arguments, **named):
        if next(calls) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(*arguments, **named)

    os.replace = dying
    forget(Store(settings.data_root), settings, [ANN])


def test_a_process_that_was_killed_leaves_no_lock_and_no_harm(settings):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_forget_and_die, args=(settings,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert places(settings.data_root, [ANN]) != []
    forget(Store(settings.data_root), settings, [ANN])
    assert places(settings.data_root, [ANN, KEEPER]) == []
