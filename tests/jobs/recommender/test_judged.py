"""What counts as relevant, against a plain reading of the rule over random events."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Partition
from feature_store.tables import CHANNELS
from jobs.recommender.judged import judge

DS = date(1998, 1, 10)
START = datetime(1998, 1, 11, tzinfo=UTC)
STOP = START + timedelta(days=7)


def partition(folder: Path, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> Partition:
    path = folder / table
    path.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path / "part-00000.parquet")
    return Partition(table, DS, "run", path)


def schema(**types: Any) -> pa.Schema:
    return pa.schema(list(types.items()))


EVENT = schema(user_id=pa.string(), item_id=pa.string(), event_time=pa.timestamp("us", tz="UTC"))
LIST = schema(user_id=pa.string(), item_id=pa.string(), rank=pa.int64(), stage=pa.string())
CANDIDATE = schema(
    user_id=pa.string(),
    item_id=pa.string(),
    rank=pa.int64(),
    **{f"{channel}_rank": pa.int64() for channel in CHANNELS},
)


@pytest.mark.parametrize("seed", range(4))
def test_relevant_is_what_a_listed_user_took_in_the_horizon_and_never_before(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    edges = [START - timedelta(microseconds=1), START, STOP - timedelta(microseconds=1), STOP]
    times = edges + [START + timedelta(hours=rng.randint(-400, 300)) for _ in range(20)]
    events: list[dict[str, Any]] = [
        {"user_id": rng.choice("uvwx"), "item_id": rng.choice("abcdef"), "event_time": rng.choice(times)}
        for _ in range(60)
    ]
    listed = [{"user_id": user, "item_id": "a", "rank": 1, "stage": "ranker"} for user in "uvw"]
    judged = judge(
        partition(tmp_path, "interactions", events, EVENT).files,
        partition(tmp_path, "recommendations", listed, LIST),
        partition(tmp_path, "candidates", [], CANDIDATE),
        horizon_days=7,
        cutoffs=(1,),
    )
    expected: dict[str, set[str]] = defaultdict(set)
    for event in events:
        user, item, time = event.values()
        earlier = any(
            (e["user_id"], e["item_id"]) == (user, item) and e["event_time"] < START for e in events
        )
        if user in "uvw" and START <= time < STOP and not earlier:
            expected[user].add(item)
    assert judged.relevant == [expected[user] for user in sorted(expected)]
    assert [len(lists) for lists in judged.lists.values()] == [len(expected)] * len(judged.lists)


def test_only_taken_candidates_are_kept_and_sizes_are_those_of_all(tmp_path: Path) -> None:
    events = [{"user_id": "u", "item_id": "b", "event_time": START}]
    listed = [{"user_id": "u", "item_id": "a", "rank": 1, "stage": "candidates"}]
    candidates = [
        {"user_id": "u", "item_id": "a", "rank": 1, "als_rank": 4},
        {"user_id": "u", "item_id": "b", "rank": 2, "als_rank": 7},
        {"user_id": "u", "item_id": "c", "rank": 3, "trending_rank": 1},
    ]
    judged = judge(
        partition(tmp_path, "interactions", events, EVENT).files,
        partition(tmp_path, "recommendations", listed, LIST),
        partition(tmp_path, "candidates", candidates, CANDIDATE),
        horizon_days=7,
        cutoffs=(1, 2),
    )
    sizes = {stage: channel.size for stage, channel in judged.recall.items()}
    assert sizes == {"candidates": 3} | dict.fromkeys(CHANNELS, 0) | {"als": 7, "trending": 1}
    found = {stage: channel.found for stage, channel in judged.recall.items()}
    assert found == dict.fromkeys(CHANNELS, [[]]) | {"candidates": [["b"]], "als": [["b"]]}
    assert judged.lists["candidates"] == [["a"]]
    assert judged.lists["trending"] == [["c"]]
    assert judged.covered["candidates", 2] == (1, 1)
    assert judged.newest_event == START
