"""Sides of a benchmark in processes of their own."""

import pytest

from feature_store.errors import NightmillError
from infra.benchmarks.processes import nightmill, side
from infra.benchmarks.stored import write_generations


def test_a_side_hands_its_result_and_its_peak_memory_back(tmp_path):
    write_generations(tmp_path, "profile_item", 50, 20)
    found = side("planning", "ours", root=str(tmp_path), stored=50)
    assert found["seconds"] > 0
    assert 0 < found["peak_gib"] < 2


def test_a_side_that_fails_says_why(tmp_path):
    with pytest.raises(NightmillError, match=r"side planning neither ended with 1: KeyError: 'neither'"):
        side("planning", "neither", root=str(tmp_path), stored=0)


def test_a_command_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    with pytest.raises(NightmillError, match=r"ended with 2: nightmill: argument --ds"):
        nightmill("ingest", "--ds", "soon")
