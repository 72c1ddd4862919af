"""The real embedding model: vectors of length one, whatever their batch and whatever computes them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from jobs.assets import ResolvedModel, resolve_model
from jobs.llm import embedder as llm_embedder
from jobs.llm import pooling_embedder
from jobs.llm.embedder import Embedder, TorchEmbedder, open_embedder

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    settings = load_settings({})
    small = settings.embedding.model_copy(update={"batch_size": 2})
    return open_embedder(resolve_model(settings.embedding.model, settings), small)


def embed(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    found = np.zeros((len(texts), 384), np.float32)
    for positions, vectors in embedder.embed(texts):
        found[positions] = vectors
    return found


def test_like_texts_have_like_vectors(embedder: Embedder) -> None:
    texts = ["A war drama.", "A film about soldiers in a war, and their families at home.", "A red teapot."]
    vectors = embed(embedder, texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.4 > vectors[0] @ vectors[2]
    assert embed(embedder, texts[1:2])[0] == pytest.approx(vectors[1], abs=1e-5)


def test_an_empty_text_has_a_vector_too(embedder: Embedder) -> None:
    assert np.isfinite(embed(embedder, [""])).all()


TEXTS = [
    "",
    " ",
    "A war drama.",
    "Los ñandúes: «¿?»",
    "Фильм про войну",
    "東京物語は家族の映画です。",
    "فيلم عن الحرب",
    "🎬 \u200b zero width",
    "word " * 600,
    "антидизэстеблишментарианизм " * 200,
    *(f"A {kind} of {1950 + year}." for kind in ("comedy", "western") for year in range(11)),
]


def test_vllm_makes_the_same_vectors_as_torch(embedder: Embedder, tmp_path: Path) -> None:
    out = tmp_path / "vectors.npy"
    program = f"""
import json, sys
import numpy as np
from feature_store.settings import load_settings
from jobs.assets import resolve_model
from jobs.llm.embedder import open_embedder
settings = load_settings({{"NIGHTMILL_EMBEDDING__ENGINE": "vllm"}})
texts = json.load(sys.stdin)
vectors = np.zeros((len(texts), 384), np.float32)
opened = open_embedder(resolve_model(settings.embedding.model, settings), settings.embedding)
for positions, batch in opened.embed(texts):
    vectors[positions] = batch
np.save({str(out)!r}, vectors)
"""
    subprocess.run([sys.executable, "-c", program], input=json.dumps(TEXTS), text=True, check=True)
    expected = embed(embedder, TEXTS)
    assert len(TEXTS) == 32
    assert np.abs(np.load(out) - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("engine", "gpu", "expected"),
    [
        ("auto", False, "torch"),
        ("auto", True, "vllm"),
        ("torch", True, "torch"),
        ("vllm", False, "vllm"),
    ],
)
def test_what_computes_is_chosen(monkeypatch: pytest.MonkeyPatch, engine, gpu, expected) -> None:
    monkeypatch.setattr(llm_embedder, "_gpu", lambda: gpu)
    monkeypatch.setattr(llm_embedder, "TorchEmbedder", lambda *_: "torch")
    monkeypatch.setattr(pooling_embedder, "PoolingEmbedder", lambda *_: "vllm")
    settings = load_settings({"NIGHTMILL_EMBEDDING__ENGINE": engine}).embedding
    assert open_embedder(ResolvedModel("/tiny", "tiny", "1"), settings) == expected


def test_a_model_that_cannot_be_loaded_is_named(tmp_path) -> None:
    settings = load_settings({}).embedding
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(
        NightmillError, match=r"embedding model .* cannot be loaded: .*correct embedding\.model"
    ):
        TorchEmbedder(ResolvedModel(str(tmp_path), "none", "1"), settings)
