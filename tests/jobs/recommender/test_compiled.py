import numpy as np
import pytest

from jobs.recommender.compiled import compiled


def doubled(numbers):
    for place in range(len(numbers)):
        numbers[place] *= 2


def test_it_does_what_the_function_does_and_is_named_alike():
    numbers = np.array([1.0, 3.0])
    compiled()(doubled)(numbers)
    assert numbers.tolist() == [2, 6]
    assert compiled()(doubled).__name__ == "doubled"


def test_where_nothing_can_be_kept_it_works_all_the_same(monkeypatch: pytest.MonkeyPatch):
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])  # as if no folder could be written
    numbers = np.array([2.0])
    compiled()(doubled)(numbers)
    assert numbers.tolist() == [4]
