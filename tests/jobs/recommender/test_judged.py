"""What counts as relevant, against a plain reading of the rule over random events."""

import random
from collections import defaultdict
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Partition
from feature_store.tables import CHANNELS
from jobs.recommender.judged import Judged, Terms
from jobs.recommender.judging import judging

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
LIST = schema(
    user_id=pa.string(), item_id=pa.string(), rank=pa.int64(), score=pa.float64(), stage=pa.string()
)
CANDIDATE = schema(
    user_id=pa.string(),
    item_id=pa.string(),
    rank=pa.int64(),
    **{f"{channel}_rank": pa.int64() for channel in CHANNELS},
)


def judged_with(
    folder: Path,
    events: list[dict[str, Any]],
    listed: list[dict[str, Any]],
    candidates: list[dict[str, Any]],
    **terms: Any,
) -> AbstractContextManager[Judged]:
    catalogue = partition(folder, "items", [{"item_id": item} for item in "abc"], schema(item_id=pa.string()))
    return judging(
        partition(folder, "interactions", events, EVENT).files,
        partition(folder, "recommendations", listed, LIST),
        partition(folder, "candidates", candidates, CANDIDATE).files,
        catalogue.files,
        Terms(**({"horizon_days": 7, "longest": 2} | terms)),
    )


def listing(user: str, item: str, rank: int) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "rank": rank, "score": -float(rank), "stage": "ranker"}


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_relevant_is_what_a_listed_user_took_in_the_horizon_and_never_before_unless_repeats_count(
    tmp_path: Path, seed: int, repeats: bool
) -> None:
    rng = random.Random(seed)
    edges = [START - timedelta(microseconds=1), START, STOP - timedelta(microseconds=1), STOP]
    times = edges + [START + timedelta(hours=rng.randint(-400, 300)) for _ in range(20)]
    events: list[dict[str, Any]] = [
        {"user_id": rng.choice("uvwx"), "item_id": rng.choice("abcdef"), "event_time": rng.choice(times)}
        for _ in range(60)
    ]
    listed = [listing(user, "a", 1) for user in "uvw"]
    expected: dict[str, set[str]] = defaultdict(set)
    for event in events:
        user, item, time = event.values()
        earlier = any(
            (e["user_id"], e["item_id"]) == (user, item) and e["event_time"] < START for e in events
        )
        if user in "uvw" and START <= time < STOP and (repeats or not earlier):
            expected[user].add(item)
    with judged_with(tmp_path, events, listed, [], repeats=repeats) as judged:
        found: dict[str, set[str]] = {}
        # Blocks of one user and of all are the same users.
        for block in judged.blocks(size=1 + 2 * (seed % 2)):
            names = judged.items.ids.take(pa.array(block.taken)).to_pylist()
            for user, item in zip(block.takers, names, strict=True):
                found.setdefault(block.user_ids[user], set()).add(item)
        assert list(found) == sorted(expected)
        assert found == expected
        assert judged.users == len(expected)
        before = [
            sum(e["user_id"] == u and e["event_time"] < START for e in events) for u in sorted(expected)
        ]
        assert [n for block in judged.blocks() for n in block.before.tolist()] == before


CANDIDATES = [
    {"user_id": "u", "item_id": "a", "rank": 1, "als_rank": 4},
    {"user_id": "u", "item_id": "b", "rank": 2, "als_rank": 7},
    {"user_id": "u", "item_id": "c", "rank": 3, "trending_rank": 1},
]


def test_lists_have_their_places_and_candidates_that_were_taken_are_found(tmp_path: Path) -> None:
    events = [{"user_id": "u", "item_id": "b", "event_time": START}]
    with judged_with(tmp_path, events, [listing("u", "a", 1), listing("u", "c", 2)], CANDIDATES) as judged:
        assert judged.candidates_a_user() == dict.fromkeys(CHANNELS, 0) | {
            "candidates": 3,
            "als": 7,
            "trending": 1,
        }
        (block,) = judged.blocks()
        assert {stage: found.tolist() for stage, found in block.found.items()} == {"candidates": [True]} | {
            channel: [False] for channel in CHANNELS
        } | {"als": [True]}
        assert judged.items.ids.to_pylist() == ["a", "b", "c"]
        assert block.lists["ranker"].tolist() == [[0, 2]]
        assert block.lists["candidates"].tolist() == [[0, 1]]
        # The first place of als did not get into the merged list.
        assert block.lists["als"].tolist() == [[-1, -1]]
        assert block.lists["trending"].tolist() == [[2, -1]]
        assert block.scores.tolist() == [[-1, -2]]
        assert judged.covered("candidates", 2) == (2, 1)
        assert judged.newest_event == START


def test_a_channel_that_came_later_has_proposed_nothing(tmp_path: Path) -> None:
    older = CANDIDATE.remove(CANDIDATE.get_field_index("content_rank"))
    events = [{"user_id": "u", "item_id": "b", "event_time": START}]
    with judging(
        partition(tmp_path, "interactions", events, EVENT).files,
        partition(tmp_path, "recommendations", [listing("u", "a", 1)], LIST),
        partition(tmp_path, "candidates", CANDIDATES, older).files,
        [],
        Terms(7, 2),
    ) as judged:
        assert judged.candidates_a_user()["content"] == 0
        (block,) = judged.blocks()
        assert block.lists["content"].tolist() == [[-1, -1]]
        assert block.lists["candidates"].tolist() == [[0, 1]]


def test_what_was_known_of_an_item_is_from_before_the_night(tmp_path: Path) -> None:
    before = START - timedelta(days=1)
    events = [
        {"user_id": "u", "item_id": "a", "event_time": before},
        {"user_id": "u", "item_id": "a", "event_time": before - timedelta(days=1)},
        {"user_id": "v", "item_id": "a", "event_time": before},
        {"user_id": "u", "item_id": "z", "event_time": START},
    ]
    with judged_with(tmp_path, events, [listing("u", "b", 1)], []) as judged:
        items = judged.items
        assert items.ids.to_pylist() == ["a", "b", "c", "z"]
        assert items.events.tolist() == [3, 0, 0, 0]
        assert items.takers.tolist() == [2, 0, 0, 0]
        assert items.listed.tolist() == [True, True, True, False]
        assert items.users == 2
        (block,) = judged.blocks()
        assert block.had.toarray().tolist() == [[1, 0, 0, 0]]
