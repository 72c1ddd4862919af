"""What a ranker is trained on and what it scores are the same rows when asked for at the same moment."""

import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store import spark
from feature_store.partitions import Partition, Store, read
from feature_store.settings import load_settings
from feature_store.tables import CHANNEL_COLUMNS, CHANNELS, ITEM_FEATURES, PAIR_FEATURES, USER_FEATURES
from jobs import build_features, scoring_rows, training_set
from jobs.night import Night
from jobs.recommender.history import codes

DS = date(2026, 3, 1)
AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
# When the last of the night's tables is known, and when each user comes back and takes something new.
KNOWN_AT = AS_OF + timedelta(hours=6)
USERS, ITEMS = ["ann", "bob", "new"], [f"m{n}" for n in range(6)]
JOINED = (*CHANNEL_COLUMNS, *ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES)

pytestmark = pytest.mark.spark


def _event(user, item, event_time, weight=1.0):
    return {
        "user_id": user,
        "item_id": item,
        "event_time": event_time,
        "event_type": "event",
        "weight": weight,
    }


BEFORE = [
    *(_event("ann", f"m{n}", AS_OF - timedelta(days=1 + n, minutes=7 * n), 1.0 + n) for n in range(3)),
    _event("ann", "m0", AS_OF - timedelta(hours=3)),
    _event("bob", "m1", AS_OF - timedelta(days=40)),
    _event("bob", "m2", AS_OF - timedelta(days=2)),
    _event("bob", "m2", AS_OF - timedelta(days=1), -1.0),
    # eve has no candidates, so that what she took can be a candidate of the others
    _event("eve", "m4", AS_OF - timedelta(days=20)),
    _event("eve", "m4", AS_OF - timedelta(days=2)),
]
CATALOGUE = [
    {"item_id": item, "categories": ["a", "bc"[n % 2]], "price": 1.0 + n, "brand": "xy"[n % 2]}
    for n, item in enumerate(ITEMS)
]
TABLES = {
    "items": CATALOGUE,
    "item_profiles": [{"item_id": item, "llm_tags": [f"t{n % 3}", "t9"]} for n, item in enumerate(ITEMS)],
    "user_profiles": [{"user_id": "ann", "llm_interests": ["t0", "t9"]}],
    "candidates": [
        {
            "user_id": user,
            "item_id": item,
            "score": 1 / rank,
            "rank": rank,
            "channels": list(CHANNELS),
        }
        | {f"{channel}_rank": rank + n for n, channel in enumerate(CHANNELS)}
        | {f"{channel}_score": 1 / (rank + n) for n, channel in enumerate(CHANNELS)}
        for user in USERS
        for rank, item in enumerate(ITEMS[3:], 1)
    ],
    "item_embeddings": [
        {"item_id": item, "embedding": [1.0, n, n * n], "model_id": "m", "model_revision": "r"}
        for n, item in enumerate(ITEMS)
    ],
    "user_embeddings": [
        {"user_id": "ann", "embedding": [1.0, 2.0, 3.0], "model_id": "m", "model_revision": "r"}
    ],
}


@pytest.fixture(scope="module")
def night(module_partition, tmp_path_factory):
    """A night whose features the real transforms made."""
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path_factory.mktemp("data"))})
    inputs = {table: [module_partition(table, DS, rows, KNOWN_AT)] for table, rows in TABLES.items()}
    inputs["interactions"] = [module_partition("interactions", DS, BEFORE)]
    made = Night(DS, settings, Store(settings.data_root), inputs, "run")
    with spark.session(settings):
        build_features.run(made)
        for table in build_features.OUTPUTS:
            inputs[table] = [Partition(table, DS, "run", made.store.run_folder(table, DS, "run"))]
        yield made


def score_rows(night, users_at_once):
    """What recommend scores, every feature wanted."""
    candidates = night.read("candidates", scoring_rows.CANDIDATES).sort_by([("user_id", "ascending")])
    vectors = night.read("item_embeddings", ["item_id"])
    ids = pa.array(sorted({*candidates["item_id"].to_pylist(), *vectors["item_id"].to_pylist()}), pa.string())
    joined = scoring_rows.Joined(night, ids, scoring_rows.published())
    users = sorted(set(candidates["user_id"].to_pylist()))
    found = []
    for start in range(0, len(users), users_at_once):
        block = candidates.filter(
            pa.array([u in users[start : start + users_at_once] for u in candidates["user_id"].to_pylist()])
        )
        found += joined.rows(block, codes(block["item_id"], ids).astype(np.int64)).to_pylist()
    return found


@pytest.fixture(scope="module")
def scored(night):
    return score_rows(night, 2)


@pytest.fixture(scope="module")
def trained(night, module_partition):
    ds = DS + timedelta(days=1)
    # the list of DS is known hours after its night, and its window is one day
    inputs = {f"earlier {table}": night.inputs[table] for table in training_set.JOINED}
    inputs[f"earlier {training_set.SYNTHETIC}"] = []
    taken = [_event(user, ITEMS[3], KNOWN_AT) for user in USERS]
    inputs["interactions"] = [*night.inputs["interactions"], module_partition("interactions", ds, taken)]
    settings = load_settings({"NIGHTMILL_RANKER__HORIZON_DAYS": "1"})
    later = Night(ds, settings.model_copy(update={"data_root": night.store.root}), night.store, inputs, "run")
    training_set.build(later)
    return read("training_set", later.staged_files("training_set")).to_pylist()


def assert_same(scored, known):
    """Every feature of every pair; NaN stands for null, and cosines are sums of floats in another order."""
    ours = {(row["user_id"], row["item_id"]): row for row in scored}
    assert ours.keys() == {(row["user_id"], row["item_id"]) for row in known}
    for row in known:
        for column in JOINED:
            found = ours[row["user_id"], row["item_id"]][column.name]
            expected = np.nan if row[column.name] is None else float(row[column.name])
            found = np.nan if found is None else float(found)
            assert found == pytest.approx(expected, rel=1e-12, abs=3e-7, nan_ok=True), column.name


def test_every_feature_is_the_same_in_training_and_in_scoring(scored, trained):
    assert len(scored) == len(USERS) * 3
    assert_same(scored, trained)
    assert {row["query_time"] for row in trained} == {KNOWN_AT}


def test_every_feature_has_a_value_in_some_of_these_rows(scored):
    def known(value):
        return value is not None and not np.isnan(value)

    assert [c.name for c in JOINED if not any(known(row[c.name]) for row in scored)] == []


# -- random cases: whatever may be null is null somewhere ---------------------------------------------


def _random_tables(draw):
    words, brands = [f"w{n}" for n in range(5)], ["x", "y", None]
    users, items = [f"u{n:02}" for n in range(12)], [f"m{n:02}" for n in range(15)]

    def some(values, most=4):
        return draw.sample(values, draw.randrange(most))

    def shares(count):
        return [draw.choice([0.25, 0.5, 1 / 3, 0.1]) for _ in range(count)]

    def vector():
        return [draw.gauss(0, 1) for _ in range(4)]

    def user_row(user):
        categories, of_brands = some(words), some(["x", "y"], 3)
        return {
            "user_id": user,
            "user_events_count_7d": draw.randrange(9),
            "user_items_count_90d": draw.randrange(3),
            "user_price_median_90d": draw.choice([None, 0.0, 3.0]),
            "user_category_names_90d": categories,
            "user_category_shares_90d": shares(len(categories)),
            "user_brand_names_90d": of_brands,
            "user_brand_shares_90d": shares(len(of_brands)),
            "user_recent_items_90d": some(items, 6),
            "llm_interests": some(words),
            "llm_recent_tags": some(words),
        }

    def item_row(item):
        price = draw.choice([None, 0.0, 2.0, 5.0])
        tags = [draw.choice(words) for _ in range(draw.randrange(4))]
        return {"item_id": item, "item_price": price, "categories": some(words), "llm_tags": tags} | {
            "brand": draw.choice(brands),
            "item_age_days": draw.choice([None, 4.5]),
            "item_cold": draw.random() < 0.5,
        }

    model = {"model_id": "m", "model_revision": "r"}
    return {
        "item_features": [item_row(item) for item in items if draw.random() < 0.8],
        "user_features": [user_row(user) for user in users if draw.random() < 0.8],
        "item_embeddings": [
            {"item_id": item, "embedding": vector()} | model for item in items if draw.random() < 0.8
        ],
        "user_embeddings": [
            {"user_id": user, "embedding": vector()} | model | draw.choice([{}, {"model_revision": "other"}])
            for user in users
            if draw.random() < 0.8
        ],
        "candidates": [
            {"user_id": user, "item_id": item, "rank": rank, "score": 1 / rank, "channels": ["als"]}
            | {"als_rank": rank, "als_score": 0.5}
            for user in users
            for rank, item in enumerate(draw.sample(items, draw.randrange(1, 8)), 1)
        ],
    }


@pytest.mark.parametrize("seed", range(3))
def test_random_tables_give_the_rows_that_the_sql_gives(seed, module_partition, tmp_path):
    tables = _random_tables(random.Random(seed))
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path), "NIGHTMILL_SPARK__SHUFFLE_PARTITIONS": "2"})
    inputs = {table: [module_partition(table, DS, rows, KNOWN_AT)] for table, rows in tables.items()}
    night = Night(DS, settings, Store(settings.data_root), inputs, "run")
    with training_set.score_rows(night) as files:
        known = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    assert_same(score_rows(night, 5), known)
