"""The anchors' splits on a few rows, and all anchors on the real data against what others have published."""

import pandas as pd
import pytest

from feature_store.settings import load_settings
from infra.benchmarks import anchors
from jobs.assets import resolve_dataset

RECALL = load_settings({}).recall


def ratings(*rows: tuple[int, int, int]) -> pd.DataFrame:
    """Rows of user, item and seconds."""
    frame = pd.DataFrame(rows, columns=["user", "item", "seconds"])
    return frame.assign(rating=1)


def test_a_core_has_lost_what_only_the_lost_had():
    # Item 3 goes for it has one user, then user 3, who is left with one item.
    frame = ratings((1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (3, 1, 0), (3, 3, 0))
    left = anchors.core(frame, 2)
    assert sorted(zip(left["user"], left["item"], strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_events_of_one_second_stay_in_the_order_of_the_file():
    frame = anchors.in_order(ratings((1, 7, 5), (1, 8, 5), (1, 9, 4), (2, 7, 1)))
    assert list(zip(frame["user"], frame["item"], frame["back"], strict=True)) == [
        (1, 9, 2),
        (1, 7, 1),
        (1, 8, 0),
        (2, 7, 0),
    ]


def test_a_split_takes_from_every_user_and_loses_nothing():
    frame = ratings(*((user, item, 0) for user in (1, 2) for item in range(8)))
    train, test = anchors.split_each_user(frame)
    assert train.groupby("user").size().tolist() == [6, 6]
    assert sorted(pd.concat([train, test]).index) == list(frame.index)


@pytest.fixture(scope="module")
def movielens() -> pd.DataFrame:
    return anchors.read_ratings(resolve_dataset("movielens-100k", load_settings()))


def test_item_similarity_lands_on_sar(movielens):
    train, test = anchors.split_each_user(movielens)
    # What the quick start prints of its split.
    assert (len(train), train["item"].nunique()) == (74_992, 1649)
    assert (len(test), test["item"].nunique()) == (25_008, 1444)
    found = anchors.sar(movielens, RECALL)
    for metric, published in anchors.SAR.items():
        assert found[metric] == pytest.approx(published, rel=0.02)


def test_popularity_lands_on_its_published_value(movielens):
    found = anchors.popularity(movielens, RECALL)
    for metric, published in anchors.POPULARITY.items():
        assert found[metric] == pytest.approx(published, rel=0.005)


def test_leaving_one_out_beats_the_published_best(movielens, monkeypatch):
    # A tenth of the choices: the benchmark tries them all.
    few = {"knn_neighbours": (100_000,), "knn_shrinkage": (0.0,), "knn_half_life_days": (0.0, 2.0)}
    monkeypatch.setattr(anchors, "GRID", dict(anchors.GRID) | few)
    left = anchors.core(movielens, anchors.CORE)
    assert (left["user"].nunique(), left["item"].nunique(), len(left)) == (943, 1349, 99_287)
    found = anchors.leave_one_out(movielens, RECALL)
    for metric, published in anchors.LEAVE_ONE_OUT.items():
        assert found[metric] > published
