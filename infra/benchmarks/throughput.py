"""The real jobs on the night's server against a bare `vllm.LLM.chat` over the very same requests.

Ours is the job's own `run`: reading, rendering, planning, sending, storing, checking, staging. The bare side
is given the rendered messages. Both have the same model, engine arguments and environment, and were warmed by
the same requests of another prompt; loading is in neither figure.
"""

import importlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import result, side
from jobs.llm.engine import find_model, open_engine, sampling_ref
from jobs.llm.generations import Generations
from jobs.llm.prompt import load_prompt
from jobs.llm.request import Message, Request
from jobs.llm.server import stop_server
from jobs.llm.vllm_engine import process_environment
from jobs.night import Night
from jobs.step import find_inputs

ITEMS = 256
# How many of its requests each job asks.
JOBS = {"profile_items": ITEMS, "simulate_cold_start": None}
COUNTS = ("output_tokens", "prompt_tokens", "cached_tokens")
ROUNDS = 2
# A second try for a refused answer is a request the bare side does not have.
# ... and all questions are sent together, whatever the judge is worth.
ONCE = {"NIGHTMILL_GENERATION__RETRY": "false", "NIGHTMILL_COLD_START__ENABLED": "always"}


def measure(settings: Settings, ds: date, say: Callable[[str], None]) -> list[Row]:
    """Both sides in turn, twice; the A/B questions in the first round only, since their shares do not vary.

    The tables of `ds` are published under settings.data_root.
    """
    ours, bare = [], []
    for number in range(1, ROUNDS + 1):
        root, jobs = settings.data_root / f"round-{number}", list(JOBS)[: 2 if number == 1 else 1]
        shutil.copytree(settings.data_root / "tables", root / "tables")
        say(f"round {number} of {ROUNDS}, ours: {' and '.join(jobs)}")
        environ = ONCE | {"NIGHTMILL_DATA": str(root)}
        ours.append(side("throughput", "ours", environ, ds=str(ds), jobs=jobs))
        say(f"round {number} of {ROUNDS}, bare vLLM: {_speed(ours[-1])} ours; now the same requests")
        bare.append(side("throughput", "bare", process_environment(os.environ) | environ, jobs=jobs))
        say(f"round {number} of {ROUNDS}: {_speed(bare[-1])} bare")
    return rows_of(ours, bare)


def _speed(found: Mapping[str, Any]) -> str:
    profiles = found["profile_items"]
    return f"{profiles['output_tokens'] / profiles['seconds']:.1f} tokens/s"


def rows_of(ours: Sequence[Mapping[str, Any]], bare: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The medians of the rounds that have the measure."""

    def both(task: str, over: str, under: str) -> tuple[float, float]:
        mine, theirs = (
            median(r[task][over] / r[task][under] for r in rounds if task in r) for rounds in (ours, bare)
        )
        return mine, theirs

    return [
        Row("tokens_per_second_vs_bare", *both("profile_items", "output_tokens", "seconds"), "tokens/s"),
        Row(
            "prefix_cached_share_profiles", *both("profile_items", "cached_tokens", "prompt_tokens"), "share"
        ),
        Row(
            "prefix_cached_share_ab", *both("simulate_cold_start", "cached_tokens", "prompt_tokens"), "share"
        ),
        Row("ab_requests_per_second", *both("simulate_cold_start", "requests", "seconds"), "requests/s"),
    ]


def naive(requests: Sequence[Request]) -> list[Request]:
    """The same questions as one who does not think of prefixes sends them: the row, then the instructions.

    Shuffled with seed 0, so that no two rows are neighbours for their likeness.
    """
    turned = []
    for request in requests:
        *before, row = request.messages
        content = "\n\n".join([row["content"], *(message["content"] for message in before)])
        message: Message = {"role": "user", "content": content}
        turned.append(replace(request, messages=(message,)))
    random.Random(0).shuffle(turned)
    return turned


def warming(settings: Settings) -> list[Request]:
    """Requests of a prompt that is not measured."""
    prompt = load_prompt("profile_user", settings.profiles.user_prompt_version)
    model, sampling = find_model(settings).ref, sampling_ref(settings, 48)
    return [
        prompt.request(f"warm {n}", golden["row"], model, sampling)
        for n, golden in enumerate(prompt.golden[:8])
    ]


def _ours(ds: date, jobs: Sequence[str]) -> None:
    settings = load_settings()
    model = find_model(settings)
    try:
        with open_engine(settings, model.resolved) as engine:
            for _ in engine.generate(warming(settings)):
                pass
        result({job: _run_job(job, settings, ds, JOBS[job]) for job in jobs})
    finally:
        stop_server(settings.data_root)


def _run_job(name: str, settings: Settings, ds: date, limit: int | None) -> dict[str, float]:
    """A job's own run over the first `limit` of its requests, which are written down for the other side."""
    module = importlib.import_module(f"jobs.{name}")
    real, store = module.ask, Store(settings.data_root)
    asked: list[Request] = []

    def ask(night: Night, requests: Sequence[Request], *rest: Any) -> Any:
        asked.extend(requests[:limit])
        return real(night, asked, *rest)

    night = Night(ds, settings, store, find_inputs(module.JOB, ds, store), "bench")
    started = time.monotonic()
    with mock.patch.object(module, "ask", ask):
        module.run(night)
    seconds = time.monotonic() - started
    _requests_file(settings, name).write_text(json.dumps([r.to_wire() for r in asked]), "utf-8")
    parts = Generations(settings.data_root).parts(asked[0].prompt.name)
    answers = pa.concat_tables([pq.read_table(part, columns=list(COUNTS)) for part in parts])
    sums = {name: float(pc.sum(answers[name]).as_py()) for name in COUNTS}
    return sums | {"seconds": seconds, "requests": len({request.key for request in asked})}


def _bare(jobs: Sequence[str]) -> None:
    from vllm import LLM

    from jobs.llm.vllm_engine import engine_arguments

    settings = load_settings()
    llm = LLM(**engine_arguments(settings.generation, find_model(settings).resolved))
    _chat(llm, warming(settings))
    found = {}
    for job in jobs:
        wires = json.loads(_requests_file(settings, job).read_text("utf-8"))
        requests = [Request.from_wire(wire) for wire in wires]
        found[job] = _chat(llm, requests if job == "profile_items" else naive(requests))
    result(found)


def _chat(llm: Any, requests: Sequence[Request]) -> dict[str, float]:
    from jobs.llm.vllm_engine import sampling_params

    distinct = list({request.key: request for request in requests}.values())
    started = time.monotonic()
    outputs = llm.chat(
        [list(request.messages) for request in distinct],
        [sampling_params(request) for request in distinct],
        use_tqdm=False,
    )
    return {
        "seconds": time.monotonic() - started,
        "requests": len(distinct),
        "output_tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
        "prompt_tokens": sum(len(output.prompt_token_ids) for output in outputs),
        "cached_tokens": sum(output.num_cached_tokens or 0 for output in outputs),
    }


def _requests_file(settings: Settings, job: str) -> Path:
    return settings.data_root / f"{job}.requests.json"


def main() -> None:
    """One side, in a process of its own."""
    task, config = sys.argv[1], json.loads(sys.argv[2])
    if task == "ours":
        _ours(date.fromisoformat(config["ds"]), config["jobs"])
    else:
        _bare(config["jobs"])
    # vLLM's threads need not be waited for
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
