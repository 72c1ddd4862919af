"""bench quality: judging by hand, and every side over a small made shop."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.contract import TIME
from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from infra.benchmarks import quality, quality_peers
from infra.benchmarks.measures import render
from infra.benchmarks.quality_sets import choose
from infra.benchmarks.quality_split import Split
from infra.environments import interpreter

CUT = Split(
    datetime(2024, 3, 1, tzinfo=UTC),
    7,
    90,
    pa.table({}),
    {"a": {"x"}, "b": {"y", "z"}, "c": {"x"}, "d": {"q"}},
)
# ann's hit is second, bob's first; nobody else has a list
LISTS = [("a", "w", 1), ("a", "x", 2), ("b", "y", 1)]
IDEAL_OF_TWO = 1 + 1 / np.log2(3)
SECONDS = {"ours": 2.0, **dict.fromkeys((*quality_peers.SIDES, "rectools"), 1.0)}
OURS = (1 / np.log2(3) + 1 / IDEAL_OF_TWO) / 4


@pytest.fixture
def folder(tmp_path):
    """Lists of every side: ours as above, als without a hit, the others empty."""
    stages = ("without_generated", "candidates", *CHANNELS, *quality_peers.SIDES, "rectools", "recall")
    for stage in stages:
        _write(tmp_path, stage, [])
    _write(tmp_path, "ours", LISTS)
    _write(tmp_path, "als", [("a", "x", 1)])
    _write(tmp_path, "recall", [("a", "x", 1), ("a", "w", 2), ("b", "z", 150)])
    return tmp_path


def _write(folder, stage, rows):
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int64())])
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    pq.write_table(table, folder / f"{stage}.parquet")


def test_every_side_is_judged_on_every_user(folder):
    rows = {row.measure: row for row in quality.rows("shop", CUT, folder, 9, SECONDS)}
    best = rows["ndcg10_vs_best_channel/shop"]
    assert best.ours == pytest.approx(OURS)
    assert best.peer == pytest.approx(1 / 4)
    assert best.unit == "NDCG@10 (als)"
    assert best.low <= best.ours - best.peer <= best.high
    nothing = rows["ndcg10_vs_rectools/shop"]
    assert (nothing.peer, nothing.ratio) == (0.0, float("inf"))
    assert rows["users_judged/shop"].ours == 4
    # all of a's, half of b's, nothing of the two others
    assert rows["candidate_recall/shop"].ours == pytest.approx(1.5 / 4)
    assert rows["seconds_ours/shop"].ours == 2.0
    measures = {
        f"ndcg10_vs_{peer}/shop" for peer in (*quality_peers.SIDES, "without_generated", "merged_recall")
    }
    assert measures <= set(rows)


def test_a_peer_that_could_not_run_has_no_row(folder):
    (folder / "rectools.parquet").unlink()
    without = {side: value for side, value in SECONDS.items() if side != "rectools"}
    measures = [row.measure for row in quality.rows("shop", CUT, folder, 9, without)]
    assert "ndcg10_vs_rectools/shop" not in measures
    assert "ndcg10_vs_als/shop" in measures


def test_the_order_of_rows_in_a_file_is_no_matter(folder):
    before = quality.rows("shop", CUT, folder, 9, SECONDS)
    _write(folder, "ours", LISTS[::-1])
    assert quality.rows("shop", CUT, folder, 9, SECONDS) == before


def test_the_table_shows_the_intervals(folder):
    text = render(quality.rows("shop", CUT, folder, 9, SECONDS), {}, "table").splitlines()
    assert text[0].split() == ["measure", "ours", "peer", "ratio", "low", "high", "unit"]


def shop(folder, users=60, items=24, days=80):
    """Two tastes: even users take even items and odd users odd ones, a few a week."""
    generator = np.random.default_rng(0)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = []
    for user in range(users):
        for day in np.flatnonzero(generator.random(days) < 0.25):
            item = 2 * int(generator.integers(items // 2)) + user % 2
            rows.append(
                (user, item, start + timedelta(days=int(day), seconds=int(generator.integers(86_400))))
            )
    user, item, time = zip(*rows, strict=True)
    folder.mkdir()
    pq.write_table(
        pa.table({"user_id": user, "item_id": item, "timestamp": pa.array(time, TIME)}),
        folder / "interactions.parquet",
    )
    titles = [f"{('Cup', 'Hammer')[n % 2]} number {n}" for n in range(items)]
    category = [("kitchen", "tools")[n % 2] for n in range(items)]
    pq.write_table(
        pa.table({"item_id": list(range(items)), "title": titles, "category": category}),
        folder / "items.parquet",
    )
    return folder


@pytest.mark.spark
def test_all_sides_run_over_a_small_shop(tmp_path, monkeypatch):
    # What is learnt is not what is asked here: little of it is a third of the time.
    for name, value in {"RANKER__WINDOWS": 1, "RANKER__TRIALS": 0, "TUNING__TRIALS": 2}.items():
        monkeypatch.setenv(f"NIGHTMILL_{name}", str(value))
    monkeypatch.setenv("NIGHTMILL_ALIGNMENT__PASSES", "2")
    (tmp_path / "sources").mkdir()
    (one,) = choose(shop(tmp_path / "shop"), "", tmp_path / "sources")
    said = []
    python = interpreter("rectools", load_settings().cache_root)
    rows = {row.measure: row for row in quality.measure(one, tmp_path / "root", python, said.append)}
    assert rows["users_judged/shop"].ours > 20
    ours = rows["ndcg10_vs_popularity/shop"]
    assert 0 < ours.peer < ours.ours < 1
    assert rows["ndcg10_vs_rectools/shop"].peer > 0
    assert rows["ndcg10_vs_without_generated/shop"].peer > 0
    assert any("split at 2024-03-" in line for line in said)
    lists = pq.read_table(tmp_path / "root" / "lists" / "ours.parquet")
    assert lists["rank"].to_pylist().count(1) == rows["users_judged/shop"].ours
