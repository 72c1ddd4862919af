"""The real embedding model on torch: vectors of length one that do not depend on their batch."""

from collections.abc import Sequence

import numpy as np
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from jobs.assets import ResolvedModel, resolve_model
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


def test_a_model_that_cannot_be_loaded_is_named(tmp_path) -> None:
    settings = load_settings({}).embedding
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(
        NightmillError, match=r"embedding model .* cannot be loaded: .*correct embedding\.model"
    ):
        TorchEmbedder(ResolvedModel(str(tmp_path), "none", "1"), settings)
