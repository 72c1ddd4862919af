"""What is told to vLLM, and what is read from its log-probabilities; for the engine see test_engine.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feature_store.settings import Settings
from jobs.assets import ResolvedModel
from jobs.llm import vllm_engine
from jobs.llm.vllm_engine import choice_probabilities, engine_arguments, prepare_environment


@pytest.fixture
def arguments(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(path: str = str(tmp_path), **overrides: str) -> dict[str, Any]:
        generation = make_settings(**overrides).generation
        return engine_arguments(generation, ResolvedModel(path, "org/tiny", "abc"))

    return make


def test_on_a_cpu_numbers_are_float32_and_the_cache_has_its_size(
    arguments: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_engine, "on_cpu", lambda: True)
    made = arguments(GENERATION__VLLM__KV_CACHE_GIB="0.5")
    assert (made["dtype"], made["kv_cache_memory_bytes"]) == ("float32", 2**29)
    assert arguments(GENERATION__VLLM__DTYPE="bfloat16")["dtype"] == "bfloat16"


def test_on_a_gpu_both_are_left_to_vllm(
    arguments: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_engine, "on_cpu", lambda: False)
    made = arguments()
    assert made["dtype"] == "auto"
    assert "kv_cache_memory_bytes" not in made
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in prepare_environment({})


def test_extra_arguments_reach_vllm_and_win(arguments: Callable[..., dict[str, Any]]) -> None:
    made = arguments(GENERATION__VLLM__EXTRA='{"swap_space": 1, "enable_prefix_caching": false}')
    assert (made["swap_space"], made["enable_prefix_caching"]) == (1, False)
    assert "extra" not in made


def test_quantisation_and_adapter_are_said(arguments: Callable[..., dict[str, Any]]) -> None:
    made = arguments(GENERATION__QUANTIZATION="awq", GENERATION__ADAPTER="/adapters/films")
    assert (made["quantization"], made["enable_lora"]) == ("awq", True)


def test_a_model_of_a_hub_is_loaded_at_its_revision(arguments: Callable[..., dict[str, Any]]) -> None:
    assert arguments(path="org/tiny")["revision"] == "abc"
    assert "revision" not in arguments()


def test_the_users_environment_is_respected() -> None:
    assert prepare_environment({"VLLM_LOGGING_LEVEL": "DEBUG"})["VLLM_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        # exp gives 1/2 and 1/4
        ({"A": -0.6931471805599453, "B": -1.3862943611198906}, {"A": 2 / 3, "B": 1 / 3}),
        ({" A": -0.6931471805599453, "B\n": -0.6931471805599453}, {"A": 0.5, "B": 0.5}),
        ({"A": 0.0, "B": -9999.0}, {"A": 1.0, "B": 0.0}),
        ({"A": 0.0}, {}),
        ({"A": float("nan"), "B": -1.0}, {}),
        ({"A": -9999.0, "B": -9999.0}, {}),
        ({}, {}),
    ],
)
def test_choices_are_read_from_first_tokens(logprobs: dict[str, float], expected: dict[str, float]) -> None:
    assert choice_probabilities(("A", "B"), logprobs) == pytest.approx(expected)
