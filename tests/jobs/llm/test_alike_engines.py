"""The same questions to the shared server, to vLLM in the job's own process, and with a LoRA adapter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from feature_store.settings import Settings
from jobs.assets import resolve_model

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_vllm_in_process_answers_as_the_server_does(
    start_asking: Callable[..., Any], served_answers: Any, tmp_path: Path
) -> None:
    offline = start_asking(DATA=str(tmp_path), GENERATION__ENGINE="vllm").result()
    served_answers.check()
    offline.check()
    assert offline.different(served_answers) == []
    assert offline.keys == served_answers.keys


def test_an_adapter_is_loaded_and_changes_the_answers(
    start_asking: Callable[..., Any], served_answers: Any, engine_settings: Settings, tmp_path: Path
) -> None:
    model = Path(resolve_model("smollm2-135m-instruct", engine_settings).path)
    folder = make_adapter(tmp_path / "films", model)
    adapted = start_asking(
        ROWS="2", DATA=str(tmp_path), GENERATION__ENGINE="vllm", GENERATION__ADAPTER=str(folder)
    ).result()
    adapted.check()
    assert {"q0", "q1"} <= set(adapted.different(served_answers))
    assert set(adapted.keys).isdisjoint(served_answers.keys)


def make_adapter(folder: Path, model: Path, rank: int = 4) -> Path:
    """A random LoRA adapter for the attention of a model in `model`, as PEFT would save it."""
    config = json.loads((model / "config.json").read_text("utf-8"))
    hidden, head = config["hidden_size"], config["head_dim"]
    wide = {"q_proj": head * config["num_attention_heads"], "v_proj": head * config["num_key_value_heads"]}
    random, tensors = np.random.default_rng(0), {}
    for layer in range(config["num_hidden_layers"]):
        for name, out in wide.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            for half, shape in (("lora_A", (rank, hidden)), ("lora_B", (out, rank))):
                tensors[f"{stem}.{half}.weight"] = random.normal(0, 0.05, shape).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": list(wide), "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(about), "utf-8")
    return folder
