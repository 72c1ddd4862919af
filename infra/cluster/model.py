"""vLLM's OpenAI-compatible server, with the engine arguments of the settings, for the `http` engine."""

import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from feature_store.sections import Settings
from infra.airflow.home import HOST
from infra.airflow.services import Service
from jobs.assets import resolve_adapter, resolve_model
from jobs.llm.vllm_engine import engine_arguments, process_environment


@dataclass(frozen=True)
class ModelServer:
    """One server on a port, and the key that jobs must show."""

    settings: Settings
    port: int
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def url(self) -> str:
        """What NIGHTMILL_GENERATION__HTTP__URL has to be."""
        return f"http://{HOST}:{self.port}/v1"

    def for_jobs(self) -> dict[str, str]:
        """The variables of a job that is to ask this server."""
        return {
            "NIGHTMILL_GENERATION__ENGINE": "http",
            "NIGHTMILL_GENERATION__HTTP__URL": self.url,
            "NIGHTMILL_GENERATION__HTTP__API_KEY": self.key,
        }

    def service(self, env: Mapping[str, str]) -> Service:
        """The server. The key is in its environment: a command line is for everybody to read."""
        generation = self.settings.generation
        arguments = engine_arguments(generation, resolve_model(generation.model, self.settings))
        arguments |= {"served_model_name": generation.model, "host": HOST, "port": self.port}
        # Without it the accounts know no cached tokens.
        arguments |= {"enable_prompt_tokens_details": True}
        if adapter := resolve_adapter(generation.adapter):
            arguments["lora_modules"] = f"{Path(adapter.path).name}={adapter.path}"
        # `vllm serve` of the build for CPUs looks for a distribution that has another name there.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *flags(arguments)]
        return Service("model-server", command, {**process_environment(env), "VLLM_API_KEY": self.key})

    def healthy(self) -> bool:
        """Whether the model is loaded and its engine lives."""
        try:
            answer = httpx.get(f"http://{HOST}:{self.port}/health", timeout=10.0, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Engine arguments as `vllm serve` takes them on its command line."""
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return words
