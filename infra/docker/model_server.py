"""`python -m infra.docker.model_server`: become vLLM's OpenAI-compatible server for the settings' model.

Its key is VLLM_API_KEY; it listens on every interface of its container, on port 8000.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from feature_store.settings import Settings, load_settings
from infra.cluster.model import flags
from jobs.assets import resolve_adapter, resolve_model
from jobs.llm.vllm_engine import engine_arguments, process_environment

PORT = 8000


def command(settings: Settings) -> list[str]:
    """The server's command line; the model is fetched first where that is needed."""
    generation = settings.generation
    arguments = engine_arguments(generation, resolve_model(generation.model, settings))
    arguments |= {"served_model_name": generation.model, "host": "0.0.0.0", "port": PORT}
    # Without it the accounts know no cached tokens.
    arguments |= {"enable_prompt_tokens_details": True}
    if adapter := resolve_adapter(generation.adapter):
        arguments["lora_modules"] = f"{Path(adapter.path).name}={adapter.path}"
    return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *flags(arguments)]


def main() -> NoReturn:
    """Become the server."""
    if not os.environ.get("VLLM_API_KEY"):
        sys.exit("model server: set VLLM_API_KEY; it does not serve whoever comes")
    words = command(load_settings())
    os.execve(words[0], words, process_environment(os.environ))


if __name__ == "__main__":
    main()
