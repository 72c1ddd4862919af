"""Sentence embeddings: mean pooling over the tokens, vectors of length one.

On a CPU with transformers on torch, on a GPU with vLLM's pooling runner (jobs/llm/pooling_embedder.py): each
is the faster one there, and their vectors are the same up to rounding.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from feature_store.errors import NightmillError
from feature_store.sections import Embedding
from jobs.assets import ResolvedModel

Batches = Iterator[tuple[list[int], np.ndarray]]


class Embedder(Protocol):
    """A loaded embedding model."""

    def embed(self, texts: Sequence[str]) -> Batches:
        """Batches of (positions in `texts`, float32 vectors of shape (batch, dimensions))."""
        ...


def open_embedder(model: ResolvedModel, settings: Embedding) -> Embedder:
    """The embedder the settings name; `auto` is vLLM where torch finds a GPU, torch elsewhere.

    NightmillError when the model cannot be loaded.
    """
    if settings.engine == "vllm" or (settings.engine == "auto" and _gpu()):
        from jobs.llm.pooling_embedder import PoolingEmbedder

        return PoolingEmbedder(model, settings)
    return TorchEmbedder(model, settings)


def load_tokenizer(model: ResolvedModel) -> Any:
    """The model's tokenizer; both embedders cut texts with it, so that they cut them alike."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.path, **hub_revision(model))
    except (OSError, ValueError) as error:
        raise cannot_load(model, error) from None


def hub_revision(model: ResolvedModel) -> dict[str, str]:
    """What pins a hub's model; a revision of our own making names a local folder, not a commit of a hub."""
    return {} if model.path != model.model_id else {"revision": model.revision}


def cannot_load(model: ResolvedModel, error: Exception) -> NightmillError:
    """The one line for a model that does not load."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return NightmillError(f"embedding model {model.path} cannot be loaded: {reason}; correct embedding.model")


def by_length(texts: Sequence[str], batch_size: int) -> Iterator[list[int]]:
    """Positions in batches of texts of like length, so that little padding is computed."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


class TorchEmbedder:
    """A model in transformers, on a GPU where there is one."""

    def __init__(self, model: ResolvedModel, settings: Embedding) -> None:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._device, self._settings = "cuda" if _gpu() else "cpu", settings
        self._tokenizer = load_tokenizer(model)
        try:
            self._model = AutoModel.from_pretrained(model.path, **hub_revision(model))
        except (OSError, ValueError) as error:
            raise cannot_load(model, error) from None
        self._model = self._model.to(self._device).eval()

    def embed(self, texts: Sequence[str]) -> Batches:
        """Batches of (positions in `texts`, float32 vectors of shape (batch, dimensions))."""
        for batch in by_length(texts, self._settings.batch_size):
            yield batch, self._encode([texts[i] for i in batch])

    def _encode(self, texts: list[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._settings.max_tokens, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        vectors: np.ndarray = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return vectors


def _gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
