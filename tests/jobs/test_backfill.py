"""Backfills in any order, at once and cut short end with the tables that a run in order gives."""

import multiprocessing
import random
from datetime import UTC, date, datetime, timedelta

import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from feature_store.tables import TABLES
from jobs import backfill, cli
from jobs.backfill import Backfill, renew, stages
from jobs.night import OF_A_RUN
from jobs.step import execute

FIRST = date(1998, 1, 1)
DATES = [FIRST + timedelta(days=n) for n in range(5)]
CHAIN = ("ingest", "profile_items", "profile_users", "evaluate_by_hand")


def _no_gates(monkeypatch):
    monkeypatch.setattr("feature_store.gates.check", lambda *_: [])
    monkeypatch.setattr("feature_store.catalog.rewrite", lambda _: None)


@pytest.fixture
def settings_at(make_settings, tmp_path, monkeypatch):
    """`settings_at(name)`: the small source, a fake model, and a data root of that name; no gates."""
    _no_gates(monkeypatch)
    made = make_settings(GENERATION__ENGINE="fake", PROFILES__ITEM_MIN_EVENTS="0")
    return lambda name: made.model_copy(update={"data_root": tmp_path / name})


def test_jobs_that_read_earlier_nights_wait_until_the_range_is_there():
    alone, in_order = stages()
    first = cli.CHAIN.index("tune")
    assert alone == list(cli.CHAIN[:first])
    # fit_recall reads its own night only, but the tuning of it that came of earlier ones.
    assert in_order == list(cli.CHAIN[first:])


def _tables(root):
    """What every published partition says, whichever run wrote it."""
    store, found = Store(root), {}
    for table in TABLES:
        for partition in store.partitions(table):
            rows = read(table, partition.files)
            rows = rows.drop_columns([name for name in OF_A_RUN if name in rows.column_names])
            found[table, partition.ds] = rows.to_pylist()
    return found


def _quiet(outcome):
    pass


def test_any_order_gives_the_same_tables_and_asks_nothing_twice(settings_at, monkeypatch):
    monkeypatch.setattr(backfill, "load_job", _with_a_job_that_looks_back)
    wanted = None
    for number in range(4):
        order = DATES if not number else random.Random(number).sample(DATES, len(DATES))
        settings = settings_at(f"order{number}")
        if number == 3:  # in two ranges, the later one first
            Backfill(order[2:], settings, _quiet).run(CHAIN)
        outcomes = []
        Backfill(order, settings, outcomes.append).run(CHAIN)
        tables = _tables(settings.data_root)
        wanted = wanted or tables
        assert tables == wanted
        again = []
        Backfill(order, settings, again.append).run(CHAIN)
        assert all(outcome.nothing_to_do for outcome in again)
    assert {ds for table, ds in wanted if table == "user_profiles"} == set(DATES)
    assert [row["users"] for row in wanted["evaluations", DATES[3]]] == [3]


def _with_a_job_that_looks_back(name):
    """The jobs of the chain, and one that counts the earlier nights of user_profiles."""
    from jobs.step import Input, Job

    if name != "evaluate_by_hand":
        return cli.load_job(name)

    def run(night):
        import pyarrow as pa

        row = {"evaluated_ds": night.ds, "stage": "s", "metric": "item_coverage", "k": 1, "compared_to": ""}
        row |= {"slice": "all", "compared_ds": None}
        row |= {"value": 0.0, "low": None, "high": None, "users": len(night.earlier("user_profiles"))}
        rows = pa.Table.from_pylist([row | {"horizon_days": 1, "input_max_event_time": None}])
        night.write(
            "evaluations",
            rows.cast(
                pa.schema(
                    [
                        TABLES["evaluations"].schema.field(column).with_nullable(True)
                        for column in rows.column_names
                    ]
                )
            ),
        )

    looks_back = (Input("user_profiles"), Input("user_profiles", earlier=True))
    return Job(name, "counts earlier nights", looks_back, ("evaluations",), run)


def test_later_nights_that_learnt_without_the_range_are_named(settings_at, monkeypatch, capsys):
    monkeypatch.setattr(backfill, "load_job", _with_a_job_that_looks_back)
    settings = settings_at("data")
    Backfill(DATES[3:], settings, _quiet).run(CHAIN)
    assert "renews" not in capsys.readouterr().out
    Backfill(DATES[:3], settings, _quiet).run(CHAIN)
    assert (
        "2 later nights learnt before these were there: nightmill backfill --from 1998-01-04 --to 1998-01-05"
        in (capsys.readouterr().out)
    )


def test_what_fails_for_one_night_stops_no_other_and_is_named(settings_at, monkeypatch):
    def refuse(job, ds, settings, **more):
        if (job.name, ds) == ("profile_items", DATES[1]):
            raise NightmillError("the model is gone")
        return execute(job, ds, settings, **more)

    monkeypatch.setattr(backfill, "execute", refuse)
    settings = settings_at("data")
    with pytest.raises(NightmillError, match=r"1 of 5 nights failed.*: 1998-01-02: the model is gone\."):
        Backfill(DATES, settings, _quiet).run(CHAIN[:3])
    assert [p.ds for p in Store(settings.data_root).partitions("item_profiles")] == [DATES[0], *DATES[2:]]
    monkeypatch.undo()
    _no_gates(monkeypatch)
    Backfill(DATES, settings, _quiet).run(CHAIN[:3])
    assert [p.ds for p in Store(settings.data_root).partitions("item_profiles")] == DATES


def _run(settings, order, chain):
    with pytest.MonkeyPatch.context() as patch:
        _no_gates(patch)
        Backfill(order, settings, _quiet).run(chain)


def test_two_backfills_at_once_one_killed_and_a_parallel_one_give_the_same_tables(settings_at):
    chain = CHAIN[:3]
    settings = settings_at("one")
    Backfill(DATES, settings, _quiet).run(chain)
    wanted = _tables(settings.data_root)

    spawn = multiprocessing.get_context("spawn")
    settings = settings_at("two")
    both = [spawn.Process(target=_run, args=(settings, order, chain)) for order in (DATES[:4], DATES[:0:-1])]
    for process in both:
        process.start()
    both[1].join(4)
    both[1].kill()
    for process in both:
        process.join()
    assert both[0].exitcode == 0
    _run(settings, DATES, chain)
    assert _tables(settings.data_root) == wanted


def test_nights_at_once_are_processes_of_their_own(settings_at):
    settings = settings_at("data")
    _run(settings, DATES[:2], ("ingest",))
    outcomes = []
    Backfill(DATES[:2], settings, outcomes.append, parallel=2).run(("ingest", "profile_users"))
    assert {(o.job, o.ds) for o in outcomes} == {
        (job, ds) for job in ("ingest", "profile_users") for ds in DATES[:2]
    }
    assert len(Store(settings.data_root).partitions("user_profiles")) == 2


def _whole_nights(settings, dates):
    """As Airflow runs them: each night with all its jobs, whether the nights before it are there or not."""
    for ds in dates:
        for name in CHAIN:
            execute(_with_a_job_that_looks_back(name), ds, settings)


def _seen(settings):
    """How many earlier nights the job that looks back has seen, by night."""
    store = Store(settings.data_root)
    return [read("evaluations", store.published("evaluations", ds).files)["users"][0].as_py() for ds in DATES]


def test_whole_nights_in_any_order_are_as_in_order_once_renewed(settings_at, monkeypatch):
    monkeypatch.setattr(backfill, "load_job", _with_a_job_that_looks_back)
    wanted = settings_at("in order")
    _whole_nights(wanted, DATES)
    assert _seen(wanted) == [0, 1, 2, 3, 4]
    settings, outcomes = settings_at("backwards"), []
    _whole_nights(settings, DATES[::-1])
    assert _seen(settings) == [0, 0, 0, 0, 0]
    assert renew(settings, outcomes.append, chain=CHAIN) == DATES[1:]
    assert [(o.job, o.ds) for o in outcomes] == [("evaluate_by_hand", ds) for ds in DATES[1:]]
    assert _tables(settings.data_root) == _tables(wanted.data_root)
    assert renew(settings, outcomes.append, chain=CHAIN) == []


def test_nights_made_long_ago_are_named_and_left_as_they_are(settings_at, monkeypatch, capsys):
    monkeypatch.setattr(backfill, "load_job", _with_a_job_that_looks_back)
    settings = settings_at("data")
    _whole_nights(settings, DATES[3:])
    since = datetime.now(UTC)
    assert renew(settings, _quiet, since, CHAIN) == []
    _whole_nights(settings, DATES[2::-1])
    assert renew(settings, _quiet, since, CHAIN) == DATES[1:3]
    assert _seen(settings) == [0, 1, 2, 0, 1]
    said = (
        "2 later nights learnt before these were there: nightmill backfill --from 1998-01-04 --to 1998-01-05"
    )
    assert said in capsys.readouterr().out
    assert renew(settings, _quiet, since, CHAIN, named=frozenset(DATES[3:4])) == DATES[3:4]
    assert _seen(settings) == [0, 1, 2, 3, 1]


def test_a_night_is_renewed_with_the_settings_it_was_made_with(settings_at, monkeypatch):
    def looks_back(name):
        from dataclasses import replace

        job = _with_a_job_that_looks_back(name)
        return replace(job, settings=("report",)) if name == "evaluate_by_hand" else job

    monkeypatch.setattr(backfill, "load_job", looks_back)
    settings = settings_at("data")
    own = settings.model_copy(update={"report": settings.report.model_copy(update={"users": 99})})
    for ds in DATES[1::-1]:
        for name in CHAIN:
            execute(looks_back(name), ds, own)
    assert renew(settings, _quiet, chain=CHAIN) == [DATES[1]]
    manifest = Store(settings.data_root).published("evaluations", DATES[1]).manifest
    assert manifest["settings"]["report"]["users"] == 99


def test_what_cannot_be_renewed_is_named_and_stops_no_other(settings_at, monkeypatch):
    monkeypatch.setattr(backfill, "load_job", _with_a_job_that_looks_back)
    settings = settings_at("data")
    _whole_nights(settings, DATES[::-1])

    def refuse(job, ds, settings, **more):
        if ds == DATES[1]:
            raise NightmillError("the disk is full")
        return execute(job, ds, settings, **more)

    monkeypatch.setattr(backfill, "execute", refuse)
    with pytest.raises(NightmillError, match=r"1 of 4 nights failed.*: 1998-01-02: the disk is full\."):
        renew(settings, _quiet, chain=CHAIN)
    assert _seen(settings) == [0, 0, 2, 3, 4]
