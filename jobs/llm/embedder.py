"""Sentence embeddings with transformers on torch: mean pooling over the tokens, vectors of length one."""

from collections.abc import Iterator, Sequence

import numpy as np

from feature_store.errors import NightmillError
from feature_store.sections import Embedding
from jobs.assets import ResolvedModel


class Embedder:
    """A loaded embedding model, on a GPU where there is one."""

    def __init__(self, model: ResolvedModel, settings: Embedding) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._settings = settings
        # A revision of our own making names a local folder, not a commit of a hub.
        hub = {} if model.path != model.model_id else {"revision": model.revision}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model.path, **hub)
            self._model = AutoModel.from_pretrained(model.path, **hub).to(self._device).eval()
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise NightmillError(
                f"embedding model {model.path} cannot be loaded: {reason}; correct embedding.model"
            ) from None

    def embed(self, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Batches of (positions in `texts`, float32 vectors of shape (batch, dimensions)).

        Texts of like length share a batch, so that little padding is computed.
        """
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), self._settings.batch_size):
            batch = order[start : start + self._settings.batch_size]
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
