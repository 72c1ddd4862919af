from datetime import date
from functools import partial

import numpy as np
import pytest

from jobs.recommender.control import COLUMNS, with_control
from jobs.recommender.queries import queries

TEXTS = {"i1": "red lamp", "i2": "blue lamp", "i3": "", "r1": "red lamp", "r2": "green chair"}


@pytest.fixture
def columns(table):
    return partial(_columns, table)


def _columns(table, recent, items=("i1", "i2", "i3", "gone"), texts=TEXTS):
    found = queries(table([("ann", item, date(2026, 1, 8), 0, 1) for item in sorted(items)]))
    rows = with_control(found, texts, recent).rows
    return {
        item: [rows[name][n].as_py() for name in COLUMNS]
        for n, item in enumerate(rows["item_id"].to_pylist())
    }


def test_an_item_of_the_same_words_is_the_nearest(columns):
    found = columns([("r2", "r1")])
    assert found["i1"][1] == pytest.approx(1)  # the last item has its very words
    assert 0 < found["i2"][1] < 1
    assert found["i1"][0] == pytest.approx(np.sqrt(0.5))  # to the mean of two vectors that share nothing
    assert found["i1"][2] == pytest.approx(0.5)
    assert found["i3"] == [0, 0, 0]
    assert found["gone"] == [None, None, None]


@pytest.mark.parametrize("recent", [[()], [("unknown",)]])
def test_users_without_known_items_have_no_values(columns, recent):
    assert set(map(tuple, columns(recent).values())) == {(None, None, None)}


def test_a_catalogue_without_a_word_is_no_error(columns):
    assert columns([("r1",)], items=("i1",), texts=dict.fromkeys(TEXTS, "?!"))["i1"] == [0, 0, 0]
