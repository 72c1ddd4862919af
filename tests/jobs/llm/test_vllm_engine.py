"""What is told to vLLM, and what is read from its log-probabilities; for the engine see test_engine.py."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from jobs.assets import ResolvedModel
from jobs.llm import engine, vllm_engine
from jobs.llm.engine import EngineDied
from jobs.llm.request import ModelRef
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


@pytest.mark.parametrize(
    ("setting", "text", "argument", "value"),
    [
        ("QUANTIZATION", "awq", "quantization", "awq"),
        ("VLLM__TENSOR_PARALLEL_SIZE", "4", "tensor_parallel_size", 4),
        ("VLLM__MAX_MODEL_LEN", "8192", "max_model_len", 8192),
        ("VLLM__MAX_NUM_SEQS", "7", "max_num_seqs", 7),
        ("VLLM__MAX_NUM_BATCHED_TOKENS", "512", "max_num_batched_tokens", 512),
        ("VLLM__BLOCK_SIZE", "64", "block_size", 64),
        ("VLLM__ENFORCE_EAGER", "false", "enforce_eager", False),
        ("VLLM__EXTRA", '{"pipeline_parallel_size": 2}', "pipeline_parallel_size", 2),
        ("VLLM__EXTRA", '{"max_num_seqs": 3}', "max_num_seqs", 3),
    ],
)
def test_every_setting_is_an_argument(
    arguments: Callable[..., dict[str, Any]], setting: str, text: str, argument: str, value: object
) -> None:
    assert arguments(**{f"GENERATION__{setting}": text})[argument] == value


def test_every_argument_is_one_vllm_knows(arguments: Callable[..., dict[str, Any]], adapter: Path) -> None:
    made = arguments(GENERATION__QUANTIZATION="awq", GENERATION__ADAPTER=str(adapter))
    source = (Path(sys.prefix) / "lib").glob("python3*/site-packages/vllm/engine/arg_utils.py")
    fields = set(re.findall(r"^    (\w+):", next(source).read_text("utf-8"), re.MULTILINE))
    assert set(made) <= fields


def test_extra_arguments_reach_vllm_and_win(arguments: Callable[..., dict[str, Any]]) -> None:
    made = arguments(GENERATION__VLLM__EXTRA='{"swap_space": 1, "enable_prefix_caching": false}')
    assert (made["swap_space"], made["enable_prefix_caching"]) == (1, False)
    assert "extra" not in made


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4}', "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize(("rank", "reserved"), [(4, 16), (16, 16), (17, 32), (300, 320)])
def test_an_adapter_has_room_for_its_rank(
    arguments: Callable[..., dict[str, Any]], adapter: Path, rank: int, reserved: int
) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({"r": rank}), "utf-8")
    made = arguments(GENERATION__ADAPTER=str(adapter))
    assert (made["enable_lora"], made["max_lora_rank"]) == (True, reserved)
    assert "enable_lora" not in arguments()


def test_an_adapter_that_is_not_there_is_named_with_its_setting(
    arguments: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(NightmillError, match=r"/adapters/films is no folder; correct generation\.adapter"):
        arguments(GENERATION__ADAPTER="/adapters/films")


def test_the_key_knows_another_training_of_an_adapter(
    make_settings: Callable[..., Settings], adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "resolve_model", lambda *_: ResolvedModel("/tiny", "tiny", "1"))

    def ref(folder: Path) -> ModelRef:
        return engine.find_model(make_settings(GENERATION__ADAPTER=str(folder))).ref

    first = ref(adapter)
    assert ref(adapter.rename(tmp_path / "moved")) == first
    (tmp_path / "moved" / "adapter_model.safetensors").write_bytes(b"trained again")
    assert ref(tmp_path / "moved") != first


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


def test_whatever_ends_the_engine_is_its_death() -> None:
    class Broken:
        def step(self) -> None:
            raise IndexError("index out of range in self")

    made = object.__new__(vllm_engine.VllmEngine)
    made._llm = SimpleNamespace(llm_engine=Broken())
    with pytest.raises(EngineDied, match="vLLM died: IndexError index out of range in self"):
        made.step()
