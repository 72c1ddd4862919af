import numpy as np
import pytest

from jobs.recommender import shapley
from jobs.recommender.shapley import Shapley, _table


def boosted(values, leaves=8, rounds=5, **parameters):
    import lightgbm

    draw = np.random.default_rng(1)
    columns = np.nan_to_num(values)
    target = columns[:, 0] + columns[:, 1] * columns[:, 2] + draw.normal(size=len(values)) * 0.1
    settings = {"verbosity": -1, "num_leaves": leaves, "min_data_in_leaf": 2, "num_threads": 1, "seed": 1}
    return lightgbm.train(settings | parameters, lightgbm.Dataset(values, target), rounds)


def drawn(rows, missing=0.2, seed=0):
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, 5)).round(1)
    values[:, 3] = draw.integers(0, 3, rows)
    values[draw.random(values.shape) < missing] = np.nan
    return values


@pytest.mark.parametrize("parameters", [{}, {"zero_as_missing": True}, {"use_missing": False}])
@pytest.mark.parametrize(("leaves", "rounds"), [(2, 3), (15, 20), (31, 5), (90, 2)])
def test_they_are_lightgbms_own(leaves, rounds, parameters):
    values = drawn(400)
    booster = boosted(values, leaves, rounds, **parameters)
    asked = np.vstack([drawn(300, seed=2), np.zeros((1, 5)), np.full((1, 5), np.nan)])
    own = booster.predict(asked, pred_contrib=True)[:, :-1]
    assert Shapley(booster).values(asked) == pytest.approx(own, abs=1e-9)


def test_nothing_missing_while_it_learnt_and_much_afterwards():
    booster = boosted(drawn(400, missing=0))
    asked = drawn(100, missing=0.5, seed=3)
    own = booster.predict(asked, pred_contrib=True)[:, :-1]
    assert Shapley(booster).values(asked) == pytest.approx(own, abs=1e-9)


def test_a_row_has_the_same_values_in_any_block(monkeypatch):
    booster, asked = boosted(drawn(300)), drawn(50, seed=4)
    whole = Shapley(booster).values(asked)
    monkeypatch.setattr(shapley, "_ROWS", 7)
    assert (Shapley(booster).values(asked) == whole).all()


def test_a_model_of_leaves_alone_and_no_rows():
    booster = boosted(np.zeros((30, 5)), rounds=1)
    assert (Shapley(booster).values(drawn(3)) == 0).all()
    assert Shapley(boosted(drawn(300))).values(np.empty((0, 5))).shape == (0, 5)


def test_a_leaf_by_hand():
    # One condition that a quarter of the rows meet: meeting it is worth 3/4, missing it -1/4.
    assert _table(np.array([0.25])).ravel().tolist() == [-0.25, 0.75]
    # Two halves, both met: 1 - 1/4 is to be shared, and both did the same.
    assert _table(np.array([0.5, 0.5]))[:, 3].tolist() == [0.375, 0.375]
    # Only the first is met: it takes 0 - 1/4 apart into +1/8 and -3/8.
    assert _table(np.array([0.5, 0.5]))[:, 1].tolist() == [0.125, -0.375]
