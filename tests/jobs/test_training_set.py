"""Lists of earlier nights become a training set: against hand-made rows and a plain-Python reference."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feature_store import gates, spark
from feature_store.partitions import Partition, Store, read
from feature_store.settings import load_settings
from feature_store.tables import CHANNEL_COLUMNS, ITEM_FEATURES, PAIR_FEATURES, TABLES, USER_FEATURES
from jobs import training_set
from jobs.night import OF_A_RUN, Night, end_of

DS = date(1998, 3, 31)
AS_OF = datetime(1998, 4, 1, tzinfo=UTC)
# The night whose list is learnt from, and when that list was known: the query.
LISTED, NOON = date(1998, 3, 29), datetime(1998, 3, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.spark
Rows = list[dict[str, Any]]


def _event(user: str, item: str, event_time: datetime) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event_time": event_time, "event_type": "event", "weight": 1.0}


def _candidate(user: str, item: str, rank: int = 1) -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": item,
        "score": 1 / rank,
        "rank": rank,
        "trending_rank": rank,
        "channels": ["trending"],
    }


def _item(item: str, version: int, **more: Any) -> dict[str, Any]:
    return {"item_id": item, "item_events_count_7d": version} | more


def _user(user: str, version: int, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "user_events_count_7d": version} | more


def _vector(name: str, key: str, vector: list[float], model: str = "m") -> dict[str, Any]:
    return {name: key, "embedding": vector, "model_id": model, "model_revision": "r"}


@dataclass(frozen=True)
class Version:
    """One night's rows of a table, and from when they may be used."""

    table: str
    ds: date
    known_at: datetime
    rows: Rows


@pytest.fixture(scope="module", autouse=True)
def one_session():
    """The blocks of this file share one Spark session."""
    with spark.session(load_settings({"NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})):
        yield


@pytest.fixture
def night(make_settings, partition):
    """`night(events, versions, settings)`: DS, about to join what is given."""
    runs = count()

    def make(events: Rows, versions: list[Version], **overrides: str) -> Night:
        settings = make_settings(**{"RANKER__HORIZON_DAYS": "2"} | overrides)
        tables = (*training_set.JOINED, training_set.SYNTHETIC)
        inputs: dict[str, list[Partition]] = {f"earlier {table}": [] for table in tables}
        inputs["interactions"] = [partition("interactions", DS, events)]
        for version in versions:
            made = partition(version.table, version.ds, version.rows, version.known_at)
            inputs[f"earlier {version.table}"].append(made)
        return Night(DS, settings, Store(settings.data_root), inputs, f"run{next(runs)}")

    return make


@pytest.fixture
def train(night):
    """`train(events, versions, settings)`: the rows of the training set of DS."""

    def run(*given: Any, **overrides: str) -> Rows:
        made = night(*given, **overrides)
        training_set.build(made)
        files = made.staged_files("training_set")
        assert gates.check(TABLES["training_set"], files, DS, made.run_id, made.store.root) == []
        return read("training_set", files).to_pylist()

    return run


@pytest.fixture
def label(night):
    """`label(events, versions, settings)`: the labelled pairs alone, which take a fraction of the time."""

    def run(*given: Any, **overrides: str) -> Rows:
        made = night(*given, **overrides)
        with spark.session(made.settings) as session:
            rows = training_set.label(session, made)[0].toArrow().to_pylist()
        return sorted(rows, key=lambda row: (row["user_id"], row["query_time"], row["item_id"]))

    return run


@pytest.fixture
def imagine(night):
    """`imagine(events, versions, lacking, settings)`: what was imagined, as the training set of DS is made.

    lacking: a column the synthetic interactions had not got yet.
    """

    def run(events: Rows, versions: list[Version], lacking: str = "", **overrides: str) -> Rows:
        made = night(events, versions, **overrides)
        for part in made.earlier(training_set.SYNTHETIC) if lacking else []:
            for file in part.files:
                pq.write_table(pq.read_table(file, partitioning=None).drop_columns([lacking]), file)
        training_set.build(made)
        files = made.staged_files("synthetic_pairs")
        assert gates.check(TABLES["synthetic_pairs"], files, DS, made.run_id, made.store.root) == []
        return read("synthetic_pairs", files).to_pylist()

    return run


def _lists(*items: str, known_at: datetime = NOON, ds: date = LISTED) -> Version:
    return Version(
        "candidates", ds, known_at, [_candidate("ann", item, n) for n, item in enumerate(items, 1)]
    )


def _said(item: str, other: str, confidence: float, ds: date = LISTED) -> Version:
    row = {"user_id": "ann", "item_id": item, "other_item_id": other, "source": "cold_item"}
    return Version("synthetic_interactions", ds, NOON - 3 * HOUR, [row | {"confidence": confidence}])


def test_what_was_imagined_on_the_night_of_a_list_is_two_rows_with_what_was_known_then(imagine):
    versions = [
        _lists("m1", "m2"),
        _said("c1", "c2", 0.5),
        _said("c1", "c3", 0.0),  # nothing is known of it
        _said("c1", "c5", 0.5, ds=date(1998, 3, 30)),  # no list of that night is learnt from
        Version("item_features", LISTED, NOON - HOUR, [_item("c1", 1), _item("c2", 2)]),
        Version("item_features", LISTED, NOON + HOUR, [_item("c1", 99)]),
    ]
    rows = imagine([_event("ann", "m1", NOON + HOUR)], versions, RECALL__SYNTHETIC_WEIGHT="0.2")
    assert [
        (r["item_id"], r["other_item_id"], r["label"], r["weight"], r["item_events_count_7d"]) for r in rows
    ] == [("c1", "c2", 1, pytest.approx(0.1), 1), ("c2", "c1", 0, pytest.approx(0.1), 2)]
    assert {(r["query_time"], r["window"]) for r in rows} == {(NOON, LISTED)}


def test_a_confidence_from_before_there_were_checks_means_something_else(imagine):
    versions = [_lists("m1", "m2"), _said("c1", "c2", 0.5)]
    assert imagine([_event("ann", "m1", NOON + HOUR)], versions, "margin") == []


def test_the_training_set_does_not_know_what_was_imagined(train):
    events, lists = [_event("ann", "m1", NOON + HOUR)], _lists("m1", "m2")
    told = [_said("m2", "m1", 0.9), Version("item_features", LISTED, NOON - HOUR, [_item("m2", 2)])]
    # without labels, lists, seen items or counts of what was imagined
    known = [{k: v for k, v in row.items() if k not in OF_A_RUN} for row in train(events, [lists, *told])]
    assert known == [
        {k: v for k, v in row.items() if k not in OF_A_RUN} for row in train(events, [lists, told[1]])
    ]
    assert [(row["item_id"], row["label"], row["relevant_count"]) for row in known] == [
        ("m1", 1, 1),
        ("m2", 0, 1),
    ]


def test_the_newest_row_known_at_the_query_is_joined_whatever_its_ds(train):
    versions = [
        _lists("m1", "m2"),
        # known exactly at the query, although its ds is the oldest
        Version("item_features", date(1998, 3, 20), NOON, [_item("m1", 3)]),
        Version("item_features", date(1998, 3, 28), NOON - 2 * HOUR, [_item("m1", 2), _item("m2", 2)]),
        Version("item_features", date(1998, 3, 27), NOON - 3 * HOUR, [_item("m1", 1)]),
        Version("item_features", date(1998, 3, 26), NOON + timedelta(microseconds=1), [_item("m1", 99)]),
        Version("user_features", date(1998, 3, 29), NOON + HOUR, [_user("ann", 99)]),
    ]
    rows = train([_event("ann", "m1", NOON + HOUR)], versions)
    assert [
        (r["item_id"], r["label"], r["item_events_count_7d"], r["user_events_count_7d"]) for r in rows
    ] == [
        ("m1", 1, 3, None),
        ("m2", 0, 2, None),
    ]
    assert {(r["query_time"], r["window"], r["features_known_at"]) for r in rows} == {(NOON, LISTED, NOON)}


def test_rows_older_than_their_ttl_are_not_joined(train):
    ttl = TABLES["item_features"].ttl_days
    assert ttl is not None
    dated = {n: (NOON - timedelta(days=n)).date() for n in (ttl, ttl + 1)}  # as_of is 12 hours after noon
    versions = [
        _lists("m1", "m2"),
        Version("item_features", dated[ttl], NOON - HOUR, [_item("m1", 1)]),
        Version("item_features", dated[ttl + 1], NOON - HOUR, [_item("m2", 2)]),
        Version("user_features", dated[ttl + 1], NOON - HOUR, [_user("ann", 3)]),
    ]
    rows = train([_event("ann", "m1", NOON)], versions)
    found = [(r["item_events_count_7d"], r["user_events_count_7d"]) for r in rows]
    assert found == [(1, None), (None, None)]


def test_of_rows_known_since_the_same_moment_the_later_night_wins(train):
    known = NOON - HOUR
    versions = [
        _lists("m1", "m2"),
        Version("item_features", date(1998, 3, 28), known, [_item("m1", 28)]),
        Version("item_features", date(1998, 3, 27), known, [_item("m1", 27), _item("m2", 27)]),
    ]
    rows = train([_event("ann", "m1", NOON)], versions)
    assert [(r["item_id"], r["item_events_count_7d"]) for r in rows] == [("m1", 28), ("m2", 27)]


EVENTS = [
    _event("ann", "m1", NOON),
    _event("ann", "m1", NOON + 2 * HOUR),
    _event("ann", "m2", NOON - HOUR),  # after the night, before its list was known: seen, and no label
    _event("ann", "m2", NOON + HOUR),
    _event("ann", "m3", datetime(1998, 3, 31, 23, 59, tzinfo=UTC)),
    _event("ann", "m6", NOON + HOUR),  # recall did not find it
    _event("bob", "m1", NOON),  # has no list
]


def test_labels_are_what_was_first_taken_in_the_window(label):
    rows = label(EVENTS, [_lists("m1", "m2", "m3", "m4")])
    assert [(r["item_id"], r["label"], r["label_time"]) for r in rows] == [
        ("m1", 1, NOON),
        ("m3", 1, datetime(1998, 3, 31, 23, 59, tzinfo=UTC)),
        ("m4", 0, None),
    ]
    assert {(r["user_id"], r["relevant_count"]) for r in rows} == {("ann", 3)}
    assert max(r["pair_max_event_time"] for r in rows) < AS_OF


def test_where_repeats_count_what_was_seen_is_a_label_too(label):
    rows = label(EVENTS, [_lists("m1", "m2", "m3", "m4")], RECALL__REPEATS="true")
    assert [(r["item_id"], r["label"], r["relevant_count"]) for r in rows] == [
        ("m1", 1, 4),
        ("m2", 1, 4),
        ("m3", 1, 4),
        ("m4", 0, 4),
    ]


def test_nothing_after_the_window_is_a_label(label):
    """The list of the night before: its window of two days ends a day before as_of."""
    events = [
        _event("ann", "m1", datetime(1998, 3, 30, 23, 59, tzinfo=UTC)),
        _event("ann", "m2", datetime(1998, 3, 31, tzinfo=UTC)),
    ]
    known = NOON - 24 * HOUR
    rows = label(events, [_lists("m1", "m2", known_at=known, ds=LISTED - timedelta(days=1))])
    assert [(r["item_id"], r["label"]) for r in rows] == [("m1", 1), ("m2", 0)]


@pytest.mark.parametrize(
    "versions",
    [[], [_lists("m1")], [_lists("m9", ds=LISTED + timedelta(days=1))]],
    ids=["no lists", "nothing was taken", "the window is not over"],
)
def test_lists_that_teach_nothing_are_left_out(label, versions):
    assert label([_event("bob", "m9", NOON)], versions) == []


def test_all_of_the_newest_window_is_kept_and_of_older_ones_what_teaches(label):
    older, known = LISTED - timedelta(days=2), NOON - 48 * HOUR
    items = [f"m{n}" for n in range(40)]
    newest = [_candidate(user, item) for user in ("ann", "bob") for item in items]
    versions = [_lists(*items, known_at=known, ds=older), Version("candidates", LISTED, NOON, newest)]
    events = [
        _event("ann", "m1", known),
        _event("ann", "m2", known + HOUR),
        _event("ann", "m39", NOON),
        _event("bob", "not found", NOON),
    ]
    drawn = []
    for seed in ("7", "7", "8"):
        rows = label(events, versions, RANKER__SEED=seed, RANKER__NEGATIVES_PER_POSITIVE="3")
        old = [r for r in rows if r["window"] == older]
        assert [r["item_id"] for r in old if r["label"]] == ["m1", "m2"]
        drawn.append([r["item_id"] for r in old if not r["label"]])
        new = [(r["user_id"], r["label"], r["relevant_count"]) for r in rows if r["window"] == LISTED]
        assert len(new) == 38 + 40
        assert set(new) == {("ann", 0, 1), ("ann", 1, 1), ("bob", 0, 1)}
    assert [len(found) for found in drawn] == [6, 6, 6]
    assert drawn[0] == drawn[1] != drawn[2]


def test_of_many_users_of_the_newest_window_some_are_drawn(label):
    users = [f"u{n}" for n in range(9)]
    lists = Version("candidates", LISTED, NOON, [_candidate(user, "m1") for user in users])
    rows = label([_event(user, "m1", NOON) for user in users], [lists], RANKER__VALID_USERS="4")
    assert len({r["user_id"] for r in rows}) == len(rows) == 4


def test_windows_are_new_over_and_a_horizon_apart(make_settings):
    settings = make_settings(RANKER__HORIZON_DAYS="2", RANKER__WINDOWS="3").ranker
    days = [20, 22, 23, 24, 25, 27, 28, 30, 31]
    nights = [Partition("candidates", date(1998, 3, day), "run", Path("nowhere")) for day in days]
    assert [night.ds.day for night in training_set.windows(nights, AS_OF, settings)] == [23, 25, 28]


def test_vectors_of_two_models_are_never_compared(train):
    known = NOON - HOUR
    versions = [
        _lists("m1", "m2", "m3"),
        Version(
            "item_embeddings",
            date(1998, 3, 28),
            known,
            [
                _vector("item_id", "m1", [0.6, 0.8]),
                _vector("item_id", "m2", [1.0, 0.0], "other"),
            ],
        ),
        Version("user_embeddings", date(1998, 3, 28), known, [_vector("user_id", "ann", [1.0, 0.0])]),
    ]
    rows = train([_event("ann", "m1", NOON)], versions)
    similarity = {r["item_id"]: r["llm_pair_embedding_similarity"] for r in rows}
    assert similarity == {"m1": pytest.approx(0.6), "m2": None, "m3": None}


def test_pair_features_by_hand(train):
    taste = {
        "user_items_count_90d": 4,
        "user_category_names_90d": ["Drama", "Comedy"],
        "user_category_shares_90d": [0.75, 0.25],
        "user_brand_names_90d": ["Zeta", "Acme"],
        "user_brand_shares_90d": [0.5, 0.125],
        "user_price_median_90d": 10.0,
        "llm_interests": ["grim", "slow"],
        "llm_recent_tags": ["loud"],
    }
    items = [
        _item("m1", 1, categories=["Comedy", "War"], llm_tags=["slow", "grim", "loud"]),
        _item("m2", 1, categories=["Drama", "Comedy"], brand="Acme", item_price=40.0),
        _item("m3", 1, brand="Omega", item_price=2.5),
        _item("m4", 1, item_price=0.0),
    ]
    known = NOON - HOUR
    versions = [
        _lists("m1", "m2", "m3", "m4", "m5"),
        Version("item_features", date(1998, 3, 28), known, items),
        Version("user_features", date(1998, 3, 28), known, [_user("ann", 1, **taste)]),
    ]
    names = ("category_affinity_90d", "brand_affinity_90d", "price_distance_90d")
    rows = train([_event("ann", "m1", NOON)], versions)
    by_item = {r["item_id"]: r for r in rows}
    assert {item: tuple(r[f"pair_{name}"] for name in names) for item, r in by_item.items()} == {
        "m1": (0.25, None, None),
        "m2": (1.0, 0.125, pytest.approx(math.log(4))),
        "m3": (0.0, 0.0, pytest.approx(math.log(4))),
        "m4": (0.0, None, None),
        "m5": (None, None, None),
    }
    overlaps = [(r["llm_pair_interests_overlap"], r["llm_pair_recent_tags_overlap"]) for r in rows]
    assert overlaps == [(2, 1), (0, 0), (0, 0), (0, 0), (None, None)]


def test_a_user_who_kept_nothing_has_no_taste(train):
    rows = [_user("ann", 1, user_events_count_90d=3, llm_interests=["grim"])]
    versions = [
        _lists("m1"),
        Version("item_features", date(1998, 3, 28), NOON, [_item("m1", 1, brand="Acme", llm_tags=["grim"])]),
        Version("user_features", date(1998, 3, 28), NOON, rows),
    ]
    (row,) = train([_event("ann", "m1", NOON)], versions)
    assert (row["pair_category_affinity_90d"], row["pair_brand_affinity_90d"]) == (None, None)
    assert (row["llm_pair_interests_overlap"], row["llm_pair_embedding_similarity_last"]) == (1, None)


def test_an_item_is_compared_with_the_last_items_of_the_user_as_known_at_the_query(train):
    ds, known = date(1998, 3, 28), NOON - HOUR
    vectors = {"m1": [1.0, 0.0], "r1": [0.6, 0.8], "r2": [1.0, 0.0], "r3": [-1.0, 0.0], "r4": [0.0, 1.0]}
    recent = {"ann": ["r1", "r2", "r3", "r4", "not in the catalogue"], "bob": ["r3"], "eve": []}
    users = [_user(user, 1, user_recent_items_90d=found) for user, found in recent.items()]
    versions = [
        Version("candidates", ds, known, [_candidate(user, "m1") for user in recent]),
        Version("user_features", ds, known, users),
        Version("user_embeddings", ds, known, [_vector("user_id", user, [0.0, 1.0]) for user in recent]),
        Version("item_embeddings", ds, known, [_vector("item_id", *found) for found in vectors.items()]),
        # of an earlier night, and of a later one that nobody knows at the query
        Version("item_embeddings", date(1998, 3, 27), known - HOUR, [_vector("item_id", "r1", [0.0, 1.0])]),
        Version("item_embeddings", date(1998, 3, 29), NOON + HOUR, [_vector("item_id", "r1", [1.0, 0.0])]),
        Version("user_embeddings", date(1998, 3, 29), NOON + HOUR, [_vector("user_id", "ann", [1.0, 0.0])]),
    ]
    rows = train([_event(user, "m1", NOON) for user in recent], versions)
    found = {
        name: [r[f"llm_pair_embedding_similarity{name}"] for r in rows] for name in ("", "_last", "_top3")
    }
    # of four the three largest: 1, 0.6, 0
    expected = {"": [0.0, 0.0, 0.0], "_last": [0.6, -1.0, None], "_top3": [1.6 / 3, -1.0, None]}
    assert found == {name: pytest.approx(values) for name, values in expected.items()}


# -- random cases against a reference that does it the slow way ---------------------------------------

CASES = 12
# The nights whose lists are windows of two days before AS_OF.
WINDOWS = (date(1998, 3, 27), date(1998, 3, 29))
USERS, ITEMS = ["1", "12", "3"], ["23", "3", "2", "31", "123"]


def _random_case(case: int) -> tuple[Rows, list[Version]]:
    """Events and versions over users and items of the case's own, so that many cases share one build."""
    draw = random.Random(case)
    users, items = [f"{case}.{name}" for name in USERS], [f"{case}.{name}" for name in ITEMS]
    start = AS_OF - timedelta(days=6)
    # Coarse times, so that ties and events exactly at a known_at are frequent.
    moments = [start + n * 6 * HOUR for n in range(24)]
    keys = {(u, i, t) for u in users for i in items for t in moments if draw.random() < 0.03}
    events = [_event(*key) for key in sorted(keys)]
    versions = []
    for n, ds in enumerate(start.date() + timedelta(days=d) for d in range(5)):
        parts: dict[str, Rows] = {
            "candidates": [_candidate(u, i) for u in users for i in items if draw.random() < 0.7],
            "item_features": [_item(i, 10 + n) for i in items if draw.random() < 0.7],
            "user_features": [_user(u, 20 + n) for u in users if draw.random() < 0.7],
        }
        for table, rows in parts.items():
            read_until = start + draw.randrange(24) * HOUR
            versions.append(
                Version(
                    table, ds, draw.choice(moments), [r | {"input_max_event_time": read_until} for r in rows]
                )
            )
    return events, versions


def _newest(versions: list[Version], table: str, key: str, at: datetime) -> tuple[Version | None, Rows]:
    name = "item_id" if table == "item_features" else "user_id"
    found: tuple[Version | None, Rows] = (None, [])
    for version in versions:
        if version.table != table or version.known_at > at:
            continue
        rows = [row for row in version.rows if row[name] == key]
        if not rows:
            continue
        if found[0] is None or (version.known_at, version.ds) > (found[0].known_at, found[0].ds):
            found = (version, rows)
    return found


def _reference(events: Rows, versions: list[Version], horizon: timedelta) -> Rows:
    """The rows of the two windows; a list is known at one moment: one query for each user and night."""
    rows: Rows = []
    for shown in versions:
        if shown.table != "candidates" or shown.ds not in WINDOWS:
            continue
        query, until = shown.known_at, end_of(shown.ds) + horizon
        for user in sorted({row["user_id"] for row in shown.rows}):
            own = [e for e in events if e["user_id"] == user]
            before = {e["item_id"] for e in own if e["event_time"] < query}
            taken = [e for e in own if query <= e["event_time"] < until and e["item_id"] not in before]
            if not taken:
                continue
            group: Rows = []
            for candidate in (row for row in shown.rows if row["user_id"] == user):
                times = [e["event_time"] for e in taken if e["item_id"] == candidate["item_id"]]
                if candidate["item_id"] in before:
                    continue
                of_item, item_rows = _newest(versions, "item_features", candidate["item_id"], query)
                of_user, user_rows = _newest(versions, "user_features", user, query)
                joined = [v for v in (shown, of_item, of_user) if v is not None]
                group.append(
                    {
                        "user_id": user,
                        "item_id": candidate["item_id"],
                        "query_time": query,
                        "window": shown.ds,
                        "label": int(bool(times)),
                        "label_time": min(times) if times else None,
                        "relevant_count": len({e["item_id"] for e in taken}),
                        "item_events_count_7d": item_rows[0]["item_events_count_7d"] if item_rows else None,
                        "user_events_count_7d": user_rows[0]["user_events_count_7d"] if user_rows else None,
                        "features_known_at": max(v.known_at for v in joined),
                        "input_max_event_time": max(
                            *(row["input_max_event_time"] for row in [*item_rows, *user_rows, candidate]),
                            *(_first(taken, e["item_id"]) for e in taken),
                        ),
                    }
                )
            if shown.ds == max(WINDOWS) or any(row["label"] for row in group):
                rows += group
    return rows


def _first(events: Rows, item: str) -> datetime:
    return min(e["event_time"] for e in events if e["item_id"] == item)


def test_a_plain_reference_agrees_on_random_cases(train):
    events, versions, expected = [], [], []
    for case in range(CASES):
        of_case = _random_case(case)
        events += of_case[0]
        versions += of_case[1]
        expected += _reference(*of_case, timedelta(days=2))
    rows = train(events, versions, RANKER__NEGATIVES_PER_POSITIVE="1000")
    expected.sort(key=lambda row: (row["user_id"], row["query_time"], row["item_id"]))
    assert len(expected) > 3 * CASES
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    assert all(row["features_known_at"] <= row["query_time"] < AS_OF for row in rows)


# -- scoring ------------------------------------------------------------------------------------------


def test_scoring_gives_the_candidates_the_features_of_the_night(make_settings, partition):
    settings = make_settings()
    known = {table: AS_OF + (n + 1) * HOUR for n, table in enumerate(training_set.JOINED)}
    rows = {
        "candidates": [_candidate(u, i, n) for u in ("bob", "ann") for n, i in enumerate(ITEMS, 1)],
        "item_features": [_item(item, n) for n, item in enumerate(ITEMS)],
        "user_features": [_user("ann", 1), _user("bob", 2)],
        "item_embeddings": [_vector("item_id", item, [1.0, 0.0]) for item in ITEMS],
        "user_embeddings": [_vector("user_id", "ann", [0.6, 0.8])],
    }
    inputs = {table: [partition(table, DS, rows[table], known[table])] for table in training_set.JOINED}
    too_old = DS - timedelta(days=TABLES["user_embeddings"].ttl_days)
    vector = [_vector("user_id", "bob", [0.6, 0.8])]
    inputs["user_embeddings"].append(partition("user_embeddings", too_old, vector, AS_OF))
    night = Night(DS, settings, Store(settings.data_root), inputs, "run")
    with training_set.score_rows(night) as files:
        scored = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
        users = [set(pq.read_table(file, partitioning=None)["user_id"].to_pylist()) for file in files]
    assert sum(len(found) for found in users) == 2  # no user is in two files
    assert [(r["user_id"], r["item_id"], r["rank"]) for r in scored] == [
        (user, item, n) for user in ("ann", "bob") for n, item in enumerate(ITEMS, 1)
    ]
    features = (*CHANNEL_COLUMNS, *ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES)
    assert {column.name for column in features} <= scored[0].keys()
    assert [r["item_events_count_7d"] for r in scored] == [0, 1, 2, 3, 4] * 2
    assert [r["llm_pair_embedding_similarity"] for r in scored] == [pytest.approx(0.6)] * 5 + [None] * 5
    assert not any(file.exists() for file in files)
