"""The simple peers: lists by hand, nothing seen, ties by id, settings chosen before the split."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.contract import TIME
from infra.benchmarks import quality_peers
from infra.benchmarks.quality_peers import Events, lists, popularity, tuned


def events(rows, judged, users=3, items=4):
    """Rows of user, item, age in days."""
    user, item, age = (np.array(column) for column in zip(*rows, strict=True))
    return Events((users, items), user, item, age.astype(float), np.ones(len(rows)), np.array(judged))


def test_popularity_halves_and_leaves_out_what_was_seen():
    # item 0 twice long ago (2 * 1/4), item 1 once now, item 3 never
    found = events([(0, 0, 20), (1, 0, 20), (1, 1, 0), (2, 2, 10)], judged=[0, 1])
    users, items, ranks = lists(found, popularity(found, half_life_days=10.0))
    # items 0 and 2 are equal (1/2): the smaller id first
    assert list(zip(users, items, ranks, strict=True)) == [
        (0, 1, 1),
        (0, 2, 2),
        (0, 3, 3),
        (1, 2, 1),
        (1, 3, 2),
    ]


def test_blocks_of_users_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    rows = list({(int(u), int(i)): 1 for u, i in generator.integers(0, (50, 40), (400, 2))})
    found = events([(u, i, 1) for u, i in rows], judged=range(50), users=50, items=40)
    scorer = popularity(found, 10.0)
    whole = lists(found, scorer)
    monkeypatch.setattr(quality_peers, "BLOCK", 7)
    for a, b in zip(whole, lists(found, scorer), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_setting_is_chosen_on_the_last_horizon_before_the_split():
    # In the last 5 days user 0 takes item 2. Before them item 1 was popular long ago, item 2 was lately: a
    # short half-life puts item 2 first, a long one item 1.
    old = [(1, 1, 60), (2, 1, 61), (3, 1, 62), (4, 2, 6), (5, 2, 7), (0, 0, 30)]
    found = events([*old, (0, 2, 1)], judged=[0], users=6)
    assert tuned("popularity", found, days=5) == {"half_life_days": 3.5}
    steady = events(
        [(1, 1, 200), (2, 1, 201), (3, 1, 202), (4, 3, 6), (0, 0, 30), (0, 1, 1)], judged=[0], users=6
    )
    assert tuned("popularity", steady, days=5) == {"half_life_days": 365.0}


def test_without_a_window_to_choose_on_the_first_setting_stands():
    found = events([(0, 0, 1), (1, 1, 2)], judged=[0])
    assert tuned("popularity", found, days=5) == quality_peers.variants("popularity")[0]


def test_choosing_sees_nothing_of_the_window():
    found = events([(0, 0, 9), (1, 1, 3)], judged=[0])
    early = found.before(5)
    assert early.users.tolist() == [0]
    assert early.ages.tolist() == [4.0]


@pytest.mark.parametrize("task", list(quality_peers.SIDES))
def test_a_side_writes_lists_of_unseen_items(task, tmp_path):
    # Two tastes: even users take even items, odd users odd ones; each lacks one item of its own kind.
    pairs = [(u, i) for u in range(20) for i in range(10) if u % 2 == i % 2 and i // 2 != u % 5]
    times = pa.array([1_700_000_000_000_000 + n * 10**10 for n in range(len(pairs))], pa.int64()).cast(TIME)
    rows = {"user_id": [f"u{u:02d}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]}
    pq.write_table(
        pa.table(rows | {"event_time": times, "weight": [1.0] * len(pairs)}), tmp_path / "before.parquet"
    )
    pq.write_table(pa.table({"user_id": ["u03", "u10"]}), tmp_path / "users.parquet")
    found = quality_peers.run(task, tmp_path, days=1)
    assert found["setting"] in quality_peers.variants(task)
    written = pq.read_table(tmp_path / f"{task}.parquet").to_pylist()
    assert {row["user_id"] for row in written} == {"u03", "u10"}
    taken = set(zip(rows["user_id"], rows["item_id"], strict=True))
    assert not taken & {(row["user_id"], row["item_id"]) for row in written}
    first = {row["user_id"]: row["item_id"] for row in written if row["rank"] == 1}
    if task != "popularity":
        assert first == {"u03": "i7", "u10": "i0"}


def test_confidences_grow_with_the_logarithm_of_weight():
    found = replace(events([(0, 0, 1), (0, 1, 1)], judged=[0]), weights=np.array([1.0, 3.0]))
    # mean 2: 1 + log2(1.5), 1 + log2(2.5)
    np.testing.assert_allclose(found.confidences().toarray()[0, :2], 1 + np.log2([1.5, 2.5]), rtol=1e-6)
