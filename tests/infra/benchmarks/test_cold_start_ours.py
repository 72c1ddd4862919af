"""Our parts: the content channel's own count, ALS of what a judge said, and how parts are put together."""

import numpy as np
import pyarrow as pa
import pytest

from infra.benchmarks.cold_start_ours import filtered, fused, judged
from tests.infra.benchmarks.test_cold_start_references import RECALL, known, unit

USERS = np.array([0], dtype=np.int32)


def constant(*scores):
    return lambda users: np.tile(np.array(scores), (len(users), 1))


def test_the_filter_looks_at_the_last_items_only():
    # all events are of one age: the last two are those with the smaller ids
    one = known([(0, 0), (0, 1), (0, 2)], [unit(0), unit(0), unit(90), unit(90)], cold=[3])
    last = RECALL.model_copy(update={"content_history": 2})
    assert filtered(one, last)(USERS) == pytest.approx(np.zeros((1, 1)), abs=1e-6)
    assert filtered(one, RECALL)(USERS) == pytest.approx(np.full((1, 1), 1 / 3), abs=1e-6)


def test_parts_are_put_together_by_ranks():
    found = fused([constant(0.9, 0.1, 0.5), constant(1.0, 3.0, 2.0)])(USERS)
    expected = [60 / 61 + 60 / 63, 60 / 63 + 60 / 61, 60 / 62 + 60 / 62]
    assert found == pytest.approx(np.array([expected]))


def test_a_part_that_knows_nothing_of_an_item_says_nothing_of_it():
    found = fused([constant(0.9, 0.1), constant(-np.inf, 2.0)])(USERS)
    assert found == pytest.approx(np.array([[60 / 61, 60 / 62 + 60 / 61]]))


def test_als_ranks_a_held_out_item_once_a_judge_spoke_for_it():
    pairs = [(u, i) for u in range(12) for i in range(8) if u % 2 == i % 2]
    one = known(pairs, [unit(0)] * 10, cold=[8, 9])
    rows = {"user_id": ["u02", "u04", "u06"], "item_id": ["i08"] * 3, "confidence": [1.0] * 3}
    found = judged(one, pa.table(rows), RECALL)(np.array([0, 1], dtype=np.int32))
    assert np.isneginf(found[:, 1]).all()  # nobody was asked about it
    assert found[0, 0] > found[1, 0]  # even users were for it, and user 0 is one, though not asked
