"""What a ranker is trained on and what it scores are the same rows when asked for at the same moment."""

from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from feature_store import spark
from feature_store.partitions import Partition, Store, read
from feature_store.settings import load_settings
from feature_store.tables import CHANNEL_COLUMNS, ITEM_FEATURES, PAIR_FEATURES, USER_FEATURES
from jobs import build_features, training_set
from jobs.night import Night

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
            "trending_rank": rank,
            "channels": ["trending"],
        }
        | {
            "trending_score": 1 / rank,
            "als_rank": rank,
            "als_score": 0.5,
            "content_rank": rank,
            "content_score": 0.1,
        }
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


@pytest.fixture(scope="module")
def scored(night):
    with training_set.score_rows(night) as files:
        return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


@pytest.fixture(scope="module")
def trained(night, module_partition):
    ds = DS + timedelta(days=1)
    # the list of DS is known hours after its night, and its window is one day
    inputs = {f"earlier {table}": night.inputs[table] for table in training_set.JOINED}
    taken = [_event(user, ITEMS[3], KNOWN_AT) for user in USERS]
    inputs["interactions"] = [*night.inputs["interactions"], module_partition("interactions", ds, taken)]
    settings = load_settings({"NIGHTMILL_RANKER__HORIZON_DAYS": "1"})
    later = Night(ds, settings.model_copy(update={"data_root": night.store.root}), night.store, inputs, "run")
    training_set.build(later)
    return read("training_set", later.staged_files("training_set")).to_pylist()


def test_every_feature_is_the_same_in_training_and_in_scoring(scored, trained):
    def rows(found):
        names = [column.name for column in JOINED] + ["query_time", "features_known_at"]
        return {(row["user_id"], row["item_id"]): {name: row[name] for name in names} for row in found}

    assert len(scored) == len(USERS) * 3
    assert rows(scored) == rows(trained)
    assert {row["query_time"] for row in trained} == {KNOWN_AT}


def test_every_feature_has_a_value_in_some_of_these_rows(scored):
    assert [c.name for c in JOINED if all(row[c.name] is None for row in scored)] == []
