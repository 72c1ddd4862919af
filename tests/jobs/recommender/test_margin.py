from datetime import date

import pyarrow as pa
import pytest

from jobs.recommender import margin
from jobs.recommender.queries import queries

NIGHT = date(2026, 1, 1)


@pytest.fixture
def learnt(table):
    """`learnt(lists)`: many lists of two items; the first is placed by als alone, the second by trending."""

    def make(taken):
        rows, als, trending = [], [], []
        for n, first in enumerate(taken):
            for item, label in (("i1", first), ("i2", not first)):
                rows.append((f"u{n:03}", item, NIGHT, int(label), 1))
                als.append(1 if item == "i1" else None)
                trending.append(1 if item == "i2" else None)
        made = (
            table(rows)
            .append_column("als_rank", pa.array(als))
            .append_column("trending_rank", pa.array(trending))
        )
        return queries(made)

    return make


def test_scores_by_hand():
    rows = pa.table({"als_rank": [3, 1, None], "trending_rank": [None, 2, None]})
    scores = margin.score(rows, {"als": 2.0, "trending": 0.5})
    assert scores.tolist() == pytest.approx([2 * 60 / 63, 2 * 60 / 61 + 0.5 * 60 / 62, 0])
    assert margin.score(rows, {}).tolist() == [0, 0, 0]


def test_the_channel_that_finds_what_is_taken_weighs_more(learnt):
    weights = margin.fit(learnt([True] * 90 + [False] * 10), ("als", "trending"))
    assert weights["als"] > weights["trending"] >= 0


def test_few_lists_hardly_move_the_weights(learnt):
    few = margin.fit(learnt([True] * 2), ("als", "trending"))
    many = margin.fit(learnt([True] * 200), ("als", "trending"))
    assert 0 < few["als"] - few["trending"] < 0.3 < many["als"] - many["trending"]


def test_channels_that_are_equally_good_weigh_the_same(learnt):
    weights = margin.fit(learnt([True, False] * 50), ("als", "trending"))
    assert weights["als"] == pytest.approx(weights["trending"], abs=1e-3)


def test_without_lists_or_channels(learnt):
    assert margin.fit(learnt([]), ("als",)) == {"als": 1.0}
    assert margin.fit(learnt([True]), ()) == {}
