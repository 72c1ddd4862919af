"""embed with a hand-made embedder: texts, reuse, users as means of what they liked."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from feature_store.partitions import Partition, Store, read
from feature_store.settings import Settings
from jobs import embed, ingest
from jobs.assets import ResolvedModel
from jobs.llm import embedder
from jobs.step import execute

DS = date(1998, 1, 2)
VECTORS = {"Toy": [1.0, 0.0], "Gol": [0.0, 1.0], "Los": [0.6, 0.8], "Nev": [-1.0, 0.0]}


class ByFirstLetters:
    """Gives a text the vector of its first three letters, and remembers what it was asked."""

    asked: ClassVar[list[str]] = []

    def __init__(self, model: ResolvedModel, settings: object) -> None:
        pass

    def embed(self, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray]]:
        self.asked.extend(texts)
        for position, text in enumerate(texts):
            yield [position], np.array([VECTORS[text[:3]]], np.float32)


@pytest.fixture
def settings(
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    publish: Callable[..., None],
) -> Settings:
    """A night with a profile of m1, and an embedder without a model."""
    monkeypatch.setattr(ByFirstLetters, "asked", [])
    monkeypatch.setattr(embedder, "open_embedder", ByFirstLetters)
    monkeypatch.setattr(embed, "resolve_model", lambda *_: ResolvedModel("mini", "mini", "1"))
    made = make_settings()
    execute(ingest.JOB, DS, made)
    profile = {"item_id": "m1", "llm_description": "A comedy called Toy Story.", "llm_audience": "everyone"}
    publish(made, "profile_items", DS, {"item_profiles": [profile]})
    return made


def published(settings: Settings, table: str) -> Partition:
    partition = Store(settings.data_root).published(table, DS)
    assert partition is not None
    return partition


def test_texts_are_title_categories_and_description(settings: Settings) -> None:
    execute(embed.JOB, DS, settings)
    assert sorted(ByFirstLetters.asked) == [
        "GoldenEye. Action",
        "Los ñandúes: «¿?». Drama",
        "Never Seen",
        "Toy Story. Animation, Comedy. A comedy called Toy Story.",
    ]


def test_every_item_has_its_vector(settings: Settings) -> None:
    execute(embed.JOB, DS, settings)
    rows = read("item_embeddings", published(settings, "item_embeddings").files).to_pylist()
    assert [(row["item_id"], row["embedding"]) for row in rows] == [
        ("m1", [1.0, 0.0]),
        ("m2", [0.0, 1.0]),
        ("m3", pytest.approx([0.6, 0.8])),
        ("m4", [-1.0, 0.0]),
    ]
    assert {row["model_id"] for row in rows} == {"mini"}


def test_a_user_is_the_mean_of_what_was_liked(settings: Settings) -> None:
    execute(embed.JOB, DS, settings)
    rows = read("user_embeddings", published(settings, "user_embeddings").files).to_pylist()
    # both rated m1 above their own mean, and their other item below it
    assert [(row["user_id"], row["embedding"], row["history_events"]) for row in rows] == [
        ("ann", [1.0, 0.0], 1),
        ("bob", [1.0, 0.0], 1),
    ]


def test_a_text_is_embedded_once_ever(settings: Settings, source: Path) -> None:
    execute(embed.JOB, DS, settings)
    ByFirstLetters.asked.clear()
    items = source / "tiny.item"
    items.write_text(items.read_text("utf-8").replace("GoldenEye", "Golden Eye"), "utf-8")
    execute(ingest.JOB, DS, settings, reprocess=True)
    execute(embed.JOB, DS, settings)
    assert ByFirstLetters.asked == ["Golden Eye. Action"]
    assert published(settings, "item_embeddings").manifest["counts"]["reused_vectors"] == 3


def test_the_mean_of_vectors_has_length_one() -> None:
    mean = embed.unit_mean(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert mean == pytest.approx([0.5**0.5, 0.5**0.5])
    assert embed.unit_mean(np.array([[1.0, 0.0], [-1.0, 0.0]])) is None
