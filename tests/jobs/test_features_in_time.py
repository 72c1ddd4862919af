"""Features know what happened before as_of and nothing else, in whatever order nights are built."""

import shutil
from datetime import date, timedelta
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store import spark
from feature_store.partitions import Store, read
from feature_store.settings import load_settings
from jobs import build_features
from jobs.build_features import JOB, earlier_lifetimes
from jobs.night import Night, end_of
from jobs.step import execute, find_inputs

NIGHTS = [date(2026, 1, 1) + timedelta(days=n) for n in range(3)]
USERS, ITEMS = [f"u{n}" for n in range(5)], [f"m{n}" for n in range(5)]
# Says when and by which run a row was made.
OF_A_RUN = ["generated_at", "known_at", "run_id"]

pytestmark = pytest.mark.spark


def _events(ds, seed=0):
    """What arrives for a night: 12 events of its day and one of the day before."""
    draw = Random(f"{ds} {seed}")
    midnight = end_of(ds) - timedelta(days=1)
    minutes = [draw.randrange(1440) for _ in range(12)] + [-draw.randrange(1, 1440)]
    return [
        {
            "ds": ds,
            "user_id": draw.choice(USERS),
            "item_id": draw.choice(ITEMS),
            "event_time": midnight + timedelta(minutes=minute),
            "event_type": f"event {n}",
            "weight": draw.choice([-1.0, 0.1, 0.2, 0.3]),
        }
        for n, minute in enumerate(minutes)
    ]


def _catalogue(n):
    """Every other night the last item is missing."""
    listed = ITEMS if n % 2 else ITEMS[:-1]
    return [{"item_id": item, "categories": ["a"], "price": float(item[1:])} for item in listed]


@pytest.fixture(scope="module", autouse=True)
def one_session():
    """The blocks of this file share one Spark session."""
    with spark.session(load_settings({"NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})):
        yield


@pytest.fixture(scope="module")
def ingested(tmp_path_factory, publish):
    """Settings over a data root with the inputs of every night."""
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path_factory.mktemp("ingested"))})
    for n, ds in enumerate(NIGHTS):
        publish(settings, "ingest", ds, {"interactions": _events(ds), "items": _catalogue(n)})
        publish(settings, "profile_items", ds, {"item_profiles": []})
        publish(settings, "profile_users", ds, {"user_profiles": []})
    return settings


def _copy(settings, folder):
    shutil.copytree(settings.data_root, folder, dirs_exist_ok=True)
    return settings.model_copy(update={"data_root": folder})


def _build(settings, ds):
    """Run the job for a night; returns the ds of the lifetimes it took over."""
    with (
        patch.object(build_features, "earlier_lifetimes", wraps=earlier_lifetimes) as taken_over,
        patch("feature_store.gates.check", return_value=[]),
        patch("feature_store.catalog.rewrite"),
    ):
        execute(JOB, ds, settings)
    (call,) = taken_over.mock_calls
    found = earlier_lifetimes(*call.args)
    return found and found.ds


def _published(settings, ds):
    store = Store(settings.data_root)
    tables = (read(table, store.published(table, ds).files) for table in JOB.outputs)
    return [table.drop_columns(OF_A_RUN) for table in tables]


@pytest.fixture(scope="module")
def forwards(ingested, tmp_path_factory):
    """The nights built one after the other, each with the help of the one before."""
    settings = _copy(ingested, tmp_path_factory.mktemp("forwards"))
    assert [_build(settings, ds) for ds in NIGHTS] == [None, *NIGHTS[:-1]]
    return settings


def test_nights_built_backwards_give_the_same_tables(forwards, ingested, tmp_path):
    backwards = _copy(ingested, tmp_path)
    for ds in reversed(NIGHTS[1:]):
        assert _build(backwards, ds) is None
        assert _published(backwards, ds) == _published(forwards, ds)


def test_lifetimes_are_those_of_all_events_before_as_of(forwards):
    for n, ds in enumerate(NIGHTS):
        events = [event for night in NIGHTS[: n + 1] for event in _events(night)]
        rows = _published(forwards, ds)[0].to_pylist()
        assert len(rows) == len({e["user_id"] for e in events}) + len({e["item_id"] for e in events})
        for row in rows:
            times = [e["event_time"] for e in events if e[f"{row['entity']}_id"] == row["entity_id"]]
            found = row["events_count"], row["first_event_time"], row["last_event_time"]
            assert found == (len(times), min(times), max(times))


def test_a_night_is_not_taken_over_when_its_events_or_the_code_have_changed(forwards, tmp_path, publish):
    settings = _copy(forwards, tmp_path)
    store = Store(settings.data_root)

    def taken_over():
        found = earlier_lifetimes(
            Night(NIGHTS[2], settings, store, find_inputs(JOB, NIGHTS[2], store), "run")
        )
        return found and found.ds

    assert taken_over() == NIGHTS[1]
    publish(settings, "ingest", NIGHTS[1], {"interactions": _events(NIGHTS[1], seed=1), "items": []})
    assert taken_over() == NIGHTS[0]
    with patch.object(build_features, "code_version", return_value="other"):
        assert taken_over() is None


LATER = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from([*USERS, "new"]),
            "item_id": st.sampled_from([*ITEMS, "new"]),
            "event_time": st.timedeltas(timedelta(), timedelta(days=100)).map(
                lambda d: end_of(NIGHTS[-1]) + d
            ),
            "event_type": st.just("event"),
            "weight": st.floats(-2, 2),
        }
    ),
    min_size=20,
    max_size=60,
)
AT_AS_OF = [
    {"user_id": user, "item_id": item, "event_time": end_of(NIGHTS[-1]), "event_type": "event", "weight": 1.0}
    for user, item in zip(USERS, ITEMS, strict=True)
]


@given(later=LATER)
@settings(max_examples=3, suppress_health_check=list(HealthCheck))
def test_no_feature_changes_when_something_happens_at_or_after_as_of(
    later, forwards, module_partition, tmp_path_factory
):
    inputs = find_inputs(JOB, NIGHTS[-1], Store(forwards.data_root))
    inputs["interactions"] = [
        *inputs["interactions"],
        module_partition("interactions", NIGHTS[-1], [*AT_AS_OF, *later]),
    ]
    night = Night(NIGHTS[-1], forwards, Store(tmp_path_factory.mktemp("later")), inputs, "run")
    JOB.run(night)
    rebuilt = [read(table, night.staged_files(table)).drop_columns(OF_A_RUN) for table in JOB.outputs]
    assert rebuilt == _published(forwards, NIGHTS[-1])
