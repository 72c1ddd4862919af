"""The store of vectors: by text and by model, never mixed."""

from pathlib import Path

import numpy as np
import pytest

from jobs.llm.vectors import Vectors, text_hash

ONE, TWO = np.array([1, 0, 0], np.float32), np.array([0, 0.6, 0.8], np.float32)


def test_what_was_added_is_found(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, "mini", "1", 256)
    vectors.add({"a": ONE, "b": TWO})
    vectors.add({"c": ONE})
    found = vectors.find(["b", "c", "missing"])
    assert sorted(found) == ["b", "c"]
    assert found["b"].tolist() == TWO.tolist()
    assert found["c"].tolist() == ONE.tolist()


@pytest.mark.parametrize("other", [("mini", "2", 256), ("maxi", "1", 256), ("mini", "1", 128)])
def test_another_model_has_vectors_of_its_own(tmp_path: Path, other: tuple[str, str, int]) -> None:
    Vectors(tmp_path, "mini", "1", 256).add({"a": ONE})
    assert Vectors(tmp_path, *other).find(["a"]) == {}


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, "org/mini", "1", 256)
    vectors.add({})
    assert vectors.find(["a"]) == {}
    assert vectors.folder.parent == tmp_path / "vectors"


def test_equal_texts_have_equal_hashes() -> None:
    assert text_hash("é") == text_hash("é") != text_hash("e")
