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


def test_a_damaged_part_is_embedded_again(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, "mini", "1", 256)
    vectors.add({"a": ONE})
    (part,) = vectors.folder.glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:50])
    vectors.add({"b": TWO})
    assert list(vectors.find(["a", "b"])) == ["b"]
    vectors.add({"a": ONE})
    assert sorted(vectors.find(["a", "b"])) == ["a", "b"]
    assert (vectors.folder / "damaged" / part.name).exists()


def test_of_two_vectors_of_one_text_it_is_always_the_same(tmp_path: Path) -> None:
    for n, order in enumerate([(ONE, TWO), (TWO, ONE)]):
        vectors = Vectors(tmp_path / str(n), "mini", "1", 256)
        for vector in order:
            vectors.add({"a": vector})
        assert vectors.find(["a"])["a"].tolist() == TWO.tolist()
