"""The made-up store and what is computed from the seconds."""

import pytest

from infra.benchmarks.planning import exponent
from infra.benchmarks.stored import key_of, write_generations
from jobs.llm.generations import Generations


def test_the_made_up_store_is_read_like_a_real_one(tmp_path):
    write_generations(tmp_path, "profile_item", 25, 10)
    store = Generations(tmp_path)
    assert len(store.parts("profile_item")) == 3
    found = store.find("profile_item", [key_of(0), key_of(24), key_of(25), key_of(0, "new")])
    assert set(found) == {key_of(0), key_of(24)}
    assert found[key_of(24)].finish_reason == "stop"


@pytest.mark.parametrize(("small", "large", "expected"), [(1, 4, 1), (1, 1, 0), (1, 16, 2), (2, 4, 0.5)])
def test_growth_is_a_power(small, large, expected):
    assert exponent(small, large, 4) == pytest.approx(expected)
