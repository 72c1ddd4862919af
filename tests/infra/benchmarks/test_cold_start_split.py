"""Items held out whole: which, for whom, and what is left of the history."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from infra.benchmarks.cold_start_split import draw, hold_out

ITEMS = [f"i{n}" for n in range(12)]
CATALOGUE = pa.chunked_array([[*ITEMS, "never taken"]])


def events(pairs):
    users, items = zip(*pairs, strict=True)
    return pa.table({"user_id": users, "item_id": items})


# ann takes everything, bob the first five, each of the others one item
PAIRS = [("ann", item) for item in ITEMS] + [("bob", item) for item in ITEMS[:5]]
PAIRS += [(f"one-{item}", item) for item in ITEMS]


def test_a_fifth_of_the_items_with_events_in_the_catalogue_is_held_out():
    found = draw(events([*PAIRS, ("ann", "not in the catalogue")]), CATALOGUE, 42)
    assert len(found) == 2  # a fifth of twelve
    assert found == sorted(found)
    assert set(found) <= set(ITEMS)


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows():
    assert draw(events(PAIRS), CATALOGUE, 42) == draw(events(PAIRS[::-1]), CATALOGUE, 42)
    assert len({tuple(draw(events(PAIRS), CATALOGUE, seed)) for seed in range(42, 52)}) > 5


def test_relevant_is_what_users_with_something_left_took_of_them():
    trial = hold_out(events(PAIRS), CATALOGUE, 42)
    first = {item for item in trial.held if item in ITEMS[:5]}
    expected = {"ann": set(trial.held)} | ({"bob": first} if first else {})
    assert trial.relevant == expected  # who took one item has nothing left, or nothing that is judged
    assert list(trial.relevant) == sorted(trial.relevant)


@given(st.integers(0, 1000))
def test_no_hidden_event_is_left(seed):
    trial = hold_out(events(PAIRS), CATALOGUE, seed)
    left = list(zip(*(trial.known[name].to_pylist() for name in ("user_id", "item_id")), strict=True))
    assert not {item for _, item in left} & set(trial.held)
    assert sorted(left) == sorted(pair for pair in PAIRS if pair[1] not in trial.held)


def test_too_few_items_and_nobody_to_judge_are_said():
    with pytest.raises(NightmillError, match="9 items of the catalogue have events"):
        draw(events(PAIRS), pa.chunked_array([ITEMS[:9]]), 42)
    alone = events([(f"one-{item}", item) for item in ITEMS])
    with pytest.raises(NightmillError, match="seed 42: nobody with another event"):
        hold_out(alone, CATALOGUE, 42)
