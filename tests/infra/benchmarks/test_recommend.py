"""The benchmark of recall and ranking, small: every side runs, and both recalls find the same items."""

import numpy as np
import pytest

from feature_store.settings import load_settings
from infra.benchmarks import made_night, recommend
from infra.benchmarks.made_night import Scale

SMALL = Scale(users=60, items=300, events=1500, candidates=20)


def quiet(text):
    """No progress."""


@pytest.fixture
def settings(tmp_path):
    return load_settings({"NIGHTMILL_DATA": str(tmp_path)})


@pytest.mark.spark
def test_every_measure_is_there_and_nothing_of_the_nights_is_left(settings):
    rows = recommend.measure(settings, quiet, SMALL, spark_users=20)
    found = {row.measure: row for row in rows}
    assert list(found) == [
        "recall_seconds_vs_implicit",
        "rank_rows_per_second",
        "join_rows_per_second",
        "explained_places_per_second",
        "recommend_seconds",
        "peak_gib",
    ]
    assert all(row.ours > 0 for row in rows)
    assert list(settings.data_root.iterdir()) == []


def test_the_larger_night_is_beside_the_smaller(settings, monkeypatch):
    def sides(root, scale, say):
        return {"recall": {"seconds": scale.users / 10}, "rank": {"seconds": 1.0}}

    monkeypatch.setattr(recommend, "_sides", sides)
    row = recommend.growth(settings, quiet, (SMALL, Scale(90, 300, 1500, 20)))
    assert (row.measure, row.ours, row.peer) == ("users_growth", 10.0, 7.0)
    assert list(settings.data_root.iterdir()) == []


def test_a_night_is_the_same_each_time_it_is_made(tmp_path):
    for name in ("one", "two"):
        made_night.write(tmp_path / name, SMALL)
    one, two = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*.parquet")
        }
        for name in ("one", "two")
    )
    assert one == two
    users, items = made_night.events(SMALL)
    assert set(users) == set(range(SMALL.users))
    assert 0 <= items.min() <= items.max() < SMALL.items
    # a tenth of the items have most of the events
    assert np.sort(np.bincount(items, minlength=SMALL.items))[-30:].sum() > 0.5 * SMALL.events


def test_our_recall_finds_what_implicit_finds(tmp_path):
    recommend.make(tmp_path, SMALL)
    recommend.recall(tmp_path, SMALL)
    found, factors = np.load(tmp_path / "proposals.npz"), np.load(tmp_path / "factors.npz")
    taken = recommend._taken(SMALL)
    scores = factors["users"] @ factors["items"].T
    scores[taken.nonzero()] = -np.inf
    scores[:, np.bincount(taken.indices, minlength=300) == 0] = -np.inf
    best = np.sort(scores, axis=1)[:, ::-1][:, :20]
    assert found["scores"] == pytest.approx(best, abs=2e-6)
