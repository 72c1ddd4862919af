import numpy as np
import pyarrow as pa
import pytest

from feature_store.errors import NightmillError
from jobs.recommender.vectors import aligned

IDS = pa.array(["a", "b", "c", "d"])


def rows(*vectors, models=None):
    return pa.table(
        {
            "item_id": pa.array([key for key, _ in vectors], pa.string()),
            "embedding": pa.array([vector for _, vector in vectors], pa.list_(pa.float32())),
            "model_id": pa.array(models or ["m"] * len(vectors), pa.string()),
        }
    )


def test_vectors_stand_at_their_codes_with_length_one():
    found = aligned(rows(("c", [0, 2]), ("gone", [1, 1]), ("a", [3, 4])), "item_id", IDS)
    np.testing.assert_allclose(found.matrix, [[0.6, 0.8], [0, 0], [0, 1], [0, 0]])
    assert found.known.tolist() == [True, False, True, False]
    assert found.model == "m"


def test_zero_and_not_a_number_are_unknown():
    found = aligned(rows(("a", [0, 0]), ("b", [float("nan"), 1]), ("c", [float("inf"), 1])), "item_id", IDS)
    assert not found.known.any()
    assert np.isfinite(found.matrix).all()


def test_no_vector_at_all():
    found = aligned(rows(), "item_id", IDS)
    assert found.matrix.shape == (4, 0)
    assert not found.known.any()


def test_other_lengths_and_other_models_are_never_mixed():
    with pytest.raises(NightmillError, match=r"lengths \[2, 3\]"):
        aligned(rows(("a", [1, 0]), ("b", [1, 0, 0])), "item_id", IDS)
    with pytest.raises(NightmillError, match=r"several models cannot be compared \(m, n\)"):
        aligned(rows(("a", [1, 0]), ("b", [1, 0]), models=["n", "m"]), "item_id", IDS)
