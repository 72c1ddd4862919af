"""Sentence embeddings with vLLM's pooling runner: on a GPU many times as fast as transformers."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from feature_store.sections import Embedding
from jobs.assets import ResolvedModel
from jobs.llm.embedder import Batches, by_length, cannot_load, hub_revision, load_tokenizer
from jobs.llm.vllm_engine import on_cpu, prepare_environment

# vLLM makes batches of its own; these are only how much is handed over, and reported, at a time.
HANDED_OVER = 1024


class PoolingEmbedder:
    """A model in vLLM: mean over the tokens, length one."""

    def __init__(self, model: ResolvedModel, settings: Embedding) -> None:
        os.environ.update(prepare_environment(os.environ))
        from vllm import LLM
        from vllm.exceptions import VLLMError

        self._max_tokens = settings.max_tokens
        self._tokenizer = load_tokenizer(model)
        try:
            self._llm = LLM(**pooling_arguments(model, settings))
        except (OSError, ValueError, RuntimeError, VLLMError) as error:
            raise cannot_load(model, error) from error

    def embed(self, texts: Sequence[str]) -> Batches:
        """Batches of (positions in `texts`, float32 vectors of shape (batch, dimensions))."""
        for batch in by_length(texts, HANDED_OVER):
            tokens = self._tokenizer([texts[i] for i in batch], truncation=True, max_length=self._max_tokens)[
                "input_ids"
            ]
            outputs = self._llm.embed([{"prompt_token_ids": ids} for ids in tokens], use_tqdm=False)
            vectors = np.asarray([output.outputs.embedding for output in outputs], np.float32)
            yield batch, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pooling_arguments(model: ResolvedModel, settings: Embedding) -> dict[str, Any]:
    """Arguments of `vllm.LLM`; embedding.vllm in the settings overrides what is set here."""
    from vllm.config import PoolerConfig

    arguments: dict[str, Any] = {
        "model": model.path,
        "runner": "pooling",
        "pooler_config": PoolerConfig(pooling_type="MEAN"),
        "max_model_len": settings.max_tokens,
        "enforce_eager": True,
        "disable_log_stats": True,
        # what torch computes in, so that a vector does not depend on the machine that made it
        "dtype": "float32",
    }
    if on_cpu():
        arguments["kv_cache_memory_bytes"] = 2**28
    else:
        # The night's generation server may still hold most of the GPU.
        arguments["gpu_memory_utilization"] = 0.05
    return arguments | hub_revision(model) | settings.vllm
