"""bench cold-start among all items: what is cut, who is judged on what, and both arms by hand."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.contract import TIME
from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from infra.benchmarks import cold_start_all
from infra.benchmarks.cold_start_all import Cut, cut, judged, prepare, rows
from infra.benchmarks.cold_start_nights import ARMS, without
from infra.benchmarks.quality_sets import choose
from jobs.sources import tables
from tests.infra.benchmarks.test_quality import shop


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "sources").mkdir()
    (one,) = choose(shop(tmp_path / "shop", items=30), "", tmp_path / "sources")
    return tables.read(load_settings(one.environ))


def pairs(events):
    return set(zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True))


def test_what_is_known_is_older_than_the_moment_and_not_of_a_held_out_item(raw):
    one = cut(raw, 42)
    assert len(one.held) == 6
    assert not {item for _, item in pairs(one.known)} & set(one.held)
    assert max(one.known["event_time"].to_pylist()) < one.split.moment
    left = pairs(one.split.before)
    assert pairs(one.known) == {(user, item) for user, item in left if item not in one.held}


def test_cold_and_warm_share_what_users_took_afterwards(raw):
    one = cut(raw, 42)
    assert all(items and items <= set(one.held) for items in one.cold.values())
    assert all(items and not items & set(one.held) for items in one.warm.values())
    for user, items in one.split.relevant.items():
        # in this shop everything had been taken by somebody
        assert one.cold.get(user, set()) | one.warm.get(user, set()) == items


def test_an_item_new_to_everybody_is_neither_cold_nor_warm():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    events = [(f"u{n % 5}", f"i{n % 20:02d}", n / 10) for n in range(200)]
    late = [(f"u{n % 5}", f"i{7 * n % 20:02d}", 20 + n / 100) for n in range(40)]
    late += [("u0", "only now", 20.5)]
    users, items, days = zip(*events, *late, strict=True)
    times = pa.array([start + timedelta(days=day) for day in days], TIME)
    raw = SimpleNamespace(
        events=pa.table({"user_id": users, "item_id": items, "event_time": times}),
        items=pa.table({"item_id": sorted({*items})}),
    )
    for seed in range(42, 46):
        one = cut(raw, seed)
        assert "only now" in one.split.relevant["u0"]
        assert not any("only now" in taken for taken in one.warm.values())
        assert any("only now" in taken for taken in one.cold.values()) == ("only now" in one.held)


def test_the_nights_are_told_nothing_of_what_is_hidden(raw, tmp_path):
    one = cut(raw, 42)
    folder = tmp_path / "night"
    folder.mkdir()
    environ = prepare(folder, one, raw)
    told = tables.read(load_settings(environ))
    assert pairs(told.events) == pairs(one.known)
    assert told.events["weight"].to_pylist() == [1.0] * told.events.num_rows
    assert set(one.held) <= set(told.items["item_id"].to_pylist())
    for column in ("item_id", "title", "categories"):
        assert told.items.sort_by("item_id")[column] == raw.items.sort_by("item_id")[column]
    wanted = pq.read_table(folder / "users.parquet")["user_id"].to_pylist()
    assert wanted == sorted({*one.cold, *one.warm})


def write(folder, arm, lists):
    found = [(user, item, n + 1) for user, items in lists.items() for n, item in enumerate(items)]
    users, items, ranks = zip(*found[::-1], strict=True)
    rows = {"user_id": users, "item_id": items, "rank": ranks}
    pq.write_table(pa.table(rows), folder / f"{arm}.parquet")


def test_both_arms_by_hand(tmp_path):
    one = Cut(None, None, ["new"], {"ann": {"new"}, "bob": {"new"}}, {"ann": {"old"}, "cleo": {"old"}})
    write(tmp_path, "with", {"ann": ["old", "new"], "bob": ["old", "x"]})
    write(tmp_path, "without", {"ann": ["old", "x"], "bob": ["x", "y"]})
    found = {row.measure: row for row in rows("shop", [judged(tmp_path, one)])}
    cold = found["cold_recall20_among_all/shop"]
    assert (cold.ours, cold.peer) == (0.5, 0)
    warm = found["warm_ndcg10_vs_without/shop"]
    assert (warm.ours, warm.peer, warm.ratio) == (0.5, 0.5, 1)  # cleo has no list
    assert (warm.low, warm.high) == (0, 0)
    assert found["held_out_share_of_lists/shop"].ours == 0.25
    assert found["users_of_cold_items/shop"].ours == 2
    assert found["trials_among_all/shop"].ours == 1


def test_without_is_told_apart_by_what_finds_cold_items_alone():
    settings = load_settings()
    assert settings.recommend.explore_share > 0
    assert settings.recall.cold_candidates > 0
    assert without(settings).recommend.explore_share == 0
    assert without(settings).recall.cold_candidates == 0
    assert without(settings).ranker == settings.ranker


def test_nobody_to_judge_is_said(raw, monkeypatch):
    monkeypatch.setattr(cold_start_all, "draw", lambda *_: ["no such item"])
    with pytest.raises(NightmillError, match="nobody took a held-out item"):
        cut(raw, 42)


@pytest.mark.spark
def test_the_nights_run_with_and_without(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_RANKER__WINDOWS", "1")
    monkeypatch.setenv("NIGHTMILL_RANKER__TRIALS", "0")
    monkeypatch.setenv("NIGHTMILL_TUNING__TRIALS", "0")
    monkeypatch.setenv("NIGHTMILL_ALIGNMENT__PASSES", "2")
    (tmp_path / "sources").mkdir()
    (one,) = choose(shop(tmp_path / "shop", items=30), "", tmp_path / "sources")
    found = {row.measure: row for row in cold_start_all.measure(one, tmp_path / "root", [42], print)}
    assert found["warm_ndcg10_vs_without/shop"].ours > 0
    assert found["cold_recall20_among_all/shop"].ours >= found["cold_recall20_among_all/shop"].peer
    assert all((tmp_path / "root" / "all-42" / f"{arm}.parquet").exists() for arm in ARMS)
