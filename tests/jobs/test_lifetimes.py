"""Whatever night took over from whichever, features are what they are when made from all of history."""

import shutil
from datetime import UTC, date, datetime, timedelta
from random import Random
from unittest.mock import patch

import pytest

from feature_store import spark
from feature_store.partitions import Store, read
from feature_store.settings import load_settings
from jobs import build_features
from jobs.build_features import JOB, earlier_lifetimes
from jobs.night import Night
from jobs.step import execute, find_inputs

NIGHTS = [date(2026, 1, 1) + timedelta(days=n) for n in range(4)]
ITEMS = [{"item_id": f"m{n}", "categories": ["a"], "price": float(n)} for n in range(4)]

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module", autouse=True)
def one_session():
    """The blocks of this file share one Spark session."""
    with spark.session(load_settings({"NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})):
        yield


def _events(ds, seed=0):
    """Events of a day by 5 users, on 4 items of the catalogue and one that comes and goes."""
    draw = Random(f"{ds} {seed}")
    midnight = datetime(ds.year, ds.month, ds.day, tzinfo=UTC)
    return [
        {
            "user_id": f"u{draw.randrange(5)}",
            "item_id": f"m{draw.randrange(5)}",
            "event_time": midnight + timedelta(minutes=draw.randrange(1440)),
            "event_type": "event",
            "weight": draw.choice([-1.0, 0.1, 0.2, 0.3]),
        }
        for _ in range(12)
    ]


@pytest.fixture
def ingested(make_settings, publish):
    """Settings over a data root with every night's inputs; every other night has the item m4 as well."""
    settings = make_settings()
    for n, ds in enumerate(NIGHTS):
        items = ITEMS + [{"item_id": "m4", "categories": ["b"]}] * (n % 2)
        publish(settings, "ingest", ds, {"interactions": _events(ds), "items": items})
        publish(settings, "profile_items", ds, {"item_profiles": []})
        publish(settings, "profile_users", ds, {"user_profiles": []})
    return settings


@pytest.fixture
def build():
    """`build(settings, ds)`: run the job for a night; returns the ds of the lifetimes it took over."""

    def run(settings, ds):
        taken = []

        def spy(night):
            taken.append(earlier_lifetimes(night))
            return taken[-1]

        with (
            patch.object(build_features, "earlier_lifetimes", spy),
            patch("feature_store.gates.check", return_value=[]),
            patch("feature_store.catalog.rewrite"),
        ):
            execute(JOB, ds, settings, reprocess=True)
        return taken[0] and taken[0].ds

    return run


def _published(settings, ds):
    """What a night published, without what says when and by which run."""
    store = Store(settings.data_root)
    tables = (read(table, store.published(table, ds).files) for table in JOB.outputs)
    return [table.drop_columns(["generated_at", "run_id"]) for table in tables]


def test_nights_in_any_order_give_the_same_tables(ingested, build, tmp_path):
    elsewhere = ingested.model_copy(update={"data_root": tmp_path / "elsewhere"})
    shutil.copytree(ingested.data_root, elsewhere.data_root)
    assert [build(ingested, ds) for ds in NIGHTS] == [None, *NIGHTS[:3]]
    order = [NIGHTS[n] for n in (2, 3, 0, 1)]
    assert [build(elsewhere, ds) for ds in order] == [None, NIGHTS[2], None, NIGHTS[0]]
    for ds in NIGHTS:
        assert _published(ingested, ds) == _published(elsewhere, ds)


def test_lifetimes_are_those_of_all_events_before_as_of(ingested, build):
    for ds in NIGHTS[:2]:
        build(ingested, ds)
    rows = _published(ingested, NIGHTS[1])[0].to_pylist()
    events = [event for ds in NIGHTS[:2] for event in _events(ds)]
    for row in rows:
        times = [e["event_time"] for e in events if e[f"{row['entity']}_id"] == row["entity_id"]]
        found = row["events_count"], row["first_event_time"], row["last_event_time"]
        assert found == (len(times), min(times), max(times))
    assert {row["entity_id"] for row in rows} == {e[name] for e in events for name in ("user_id", "item_id")}


def test_an_earlier_night_is_not_taken_over_when_its_events_or_the_code_have_changed(
    ingested, build, publish
):
    build(ingested, NIGHTS[0])
    store = Store(ingested.data_root)

    def taken_over():
        return earlier_lifetimes(Night(NIGHTS[1], ingested, store, find_inputs(JOB, NIGHTS[1], store), "run"))

    assert taken_over().ds == NIGHTS[0]
    with patch.object(build_features, "code_version", return_value="other"):
        assert taken_over() is None
    publish(ingested, "ingest", NIGHTS[0], {"interactions": _events(NIGHTS[0], seed=1), "items": ITEMS})
    assert taken_over() is None
