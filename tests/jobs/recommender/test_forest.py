import numpy as np
import pytest

from jobs.recommender import forest
from jobs.recommender.forest import Forest


def drawn(rows, missing=0.2, seed=0):
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, 5)).round(1)
    values[draw.random(values.shape) < missing] = np.nan
    return values


def boosted(values, leaves=15, rounds=20, **parameters):
    import lightgbm

    draw = np.random.default_rng(1)
    columns = np.nan_to_num(values)
    target = columns[:, 0] + columns[:, 1] * columns[:, 2] + draw.normal(size=len(values)) * 0.1
    settings = {"verbosity": -1, "num_leaves": leaves, "min_data_in_leaf": 2, "num_threads": 1, "seed": 1}
    return lightgbm.train(settings | parameters, lightgbm.Dataset(values, target), rounds)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("leaves", "rounds"), [(2, 3), (7, 30), (15, 20), (63, 5), (64, 5)])
def test_it_scores_as_lightgbm_does_to_the_last_bit(leaves, rounds, missing):
    booster = boosted(drawn(500, missing), leaves, rounds)
    assert booster.dump_model()["tree_info"][0]["num_leaves"] == leaves
    asked = np.vstack([drawn(300, 0.4, seed=2), np.zeros((1, 5)), np.full((1, 5), np.nan)])
    found = Forest.of(booster)
    assert found is not None
    assert (found.score(asked) == booster.predict(asked)).all()


def test_the_size_and_layout_of_blocks_and_the_threads_change_nothing(monkeypatch):
    found, asked = Forest.of(boosted(drawn(300))), drawn(50, seed=4)
    assert found is not None
    whole = found.score(asked)
    monkeypatch.setattr(forest, "_ROWS", 7)
    for threads in (1, 3):
        monkeypatch.setattr(forest, "cores", lambda threads=threads: threads)
        assert (found.score(np.asfortranarray(asked)) == whole).all()
    assert found.score(np.empty((0, 5))).shape == (0,)


def test_rows_beyond_what_is_near_at_once():
    booster, asked = boosted(drawn(300)), drawn(2 * forest._NEAR + 5, seed=6)
    found = Forest.of(booster)
    assert found is not None
    assert (found.score(asked) == booster.predict(asked)).all()


def test_a_model_of_leaves_alone():
    booster = boosted(np.zeros((30, 5)), rounds=1)
    found = Forest.of(booster)
    assert found is not None
    assert (found.score(drawn(3)) == booster.predict(drawn(3))).all()


def test_what_it_cannot_score_is_left_to_lightgbm():
    assert Forest.of(boosted(drawn(500), leaves=65)) is None
    assert Forest.of(boosted(drawn(500), zero_as_missing=True)) is None
