"""Asking a model about many rows: nothing twice, nothing lost, one outcome for each.

requests -> one per key -> those not in generations -> engine -> generations -> checked answers
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from feature_store.errors import NightmillError
from jobs.llm.engine import Engine, Model, open_engine
from jobs.llm.generations import Generation, Generations
from jobs.llm.request import Answer, Request
from jobs.llm.validate import Reader, Refused, read_answer
from jobs.night import Night
from jobs.progress import Progress

OpenEngine = Callable[[], AbstractContextManager[Engine]]


@dataclass(frozen=True)
class Outcome:
    """What became of one request: values, or the reason for refusing the answer.

    reused: the answer was stored before this run asked for anything. cut_off: it reached max_tokens.
    """

    request: Request
    values: Mapping[str, Any] | None
    reused: bool = False
    reason: str = ""
    detail: str = ""
    raw: str | None = None
    cut_off: bool = False

    @property
    def provenance(self) -> dict[str, str]:
        """The columns that say where the values come from."""
        prompt, model = self.request.prompt, self.request.model
        return {
            "generation_key": self.request.key,
            "prompt_name": prompt.name,
            "prompt_version": prompt.version,
            "prompt_hash": prompt.hash,
            "model_id": model.model_id,
            "model_revision": model.revision,
        }


def in_shard(entity_id: str, shard: tuple[int, int] | None) -> bool:
    """Whether a row belongs to shard (k, N): by hash of its id, so that shards never overlap."""
    if shard is None:
        return True
    k, n = shard
    return int.from_bytes(sha256(entity_id.encode()).digest()[:8], "big") % n == k - 1


def ask(
    night: Night,
    requests: Sequence[Request],
    reader: Reader,
    model: Model,
    description: str,
    open_: OpenEngine | None = None,
) -> list[Outcome]:
    """One outcome for each request, in the order given; with --shard only for the shard's own.

    Only what generations lack is asked, and an engine is opened only for that. Answers are stored every
    flush_rows answers or flush_seconds, and when anything goes wrong. Counts land in the night's manifest.
    """
    requests = [request for request in requests if in_shard(request.entity_id, night.shard)]
    if len({request.entity_id for request in requests}) != len(requests):
        raise NightmillError(f"{description}: two requests for one row; this is a defect of the job")
    asking = Asking(night, model, description, open_)
    outcomes = asking.outcomes(requests, reader)
    if night.settings.generation.retry:
        cut = [outcome.request for outcome in outcomes if outcome.cut_off]
        if cut:
            longer = {
                o.request.entity_id: o for o in asking.outcomes([r.with_larger_cap() for r in cut], reader)
            }
            outcomes = [longer.get(outcome.request.entity_id, outcome) for outcome in outcomes]
    if [o.request.entity_id for o in outcomes] != [r.entity_id for r in requests]:
        raise NightmillError(f"{description}: outcomes do not match the requests; this is a defect")
    return outcomes


class Asking:
    """The requests of one job in one night, and the accounts of answering them."""

    def __init__(self, night: Night, model: Model, description: str, open_: OpenEngine | None = None) -> None:
        self.night, self.description = night, description
        self.generations = Generations(night.store.root)
        self._open = open_ or (lambda: open_engine(night.settings, model.resolved))

    def outcomes(self, requests: Sequence[Request], reader: Reader) -> list[Outcome]:
        """One outcome for each request, in their order."""
        if not requests:
            return []
        (name,) = {request.prompt.name for request in requests}
        distinct = {request.key: request for request in requests}
        stored = self.generations.find(name, distinct)
        missing = [request for key, request in distinct.items() if key not in stored]
        self.night.count(requests=len(requests), cached=len(requests) - len(missing), asked=len(missing))
        errors = self._answer(missing, reuse=1 - len(missing) / len(requests)) if missing else {}
        found = stored | (self.generations.find(name, [r.key for r in missing]) if missing else {})
        return [_outcome(r, found.get(r.key), errors.get(r.key), r.key in stored, reader) for r in requests]

    def _answer(self, missing: Sequence[Request], reuse: float) -> dict[str, str]:
        """Ask the engine and store what it answers; why it did not, for those it could not answer."""
        # Neighbours share the longest prefixes, which the engine then computes once.
        ordered = sorted(missing, key=lambda request: [m["content"] for m in request.messages])
        errors: dict[str, str] = {}
        with self._open() as engine, self.night.progress(len(ordered), self.description, "request") as bar:
            flush = Flush(
                self.generations,
                self.night.settings.generation.flush_rows,
                self.night.settings.generation.flush_seconds,
            )
            try:
                for request, answer in _matched(ordered, engine.generate(ordered)):
                    if answer.error is None:
                        flush.add(request, answer)
                    else:
                        errors[answer.key] = answer.error
                    self._account(answer, bar, flush.tokens_per_second, reuse)
            finally:
                flush.now()
        return errors

    def _account(self, answer: Answer, bar: Progress, speed: float, reuse: float) -> None:
        self.night.count(
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
            output_tokens=answer.output_tokens,
        )
        bar.update(1, f"{speed:,.0f} tokens/s, {reuse:.0%} reused")


class Flush:
    """Answers on their way to the disk."""

    def __init__(self, generations: Generations, rows: int, seconds: float) -> None:
        self._generations, self._rows, self._seconds = generations, rows, seconds
        self._waiting: list[tuple[Request, Answer]] = []
        self._started = self._last = time.monotonic()
        self._tokens = 0

    @property
    def tokens_per_second(self) -> float:
        """Output tokens a second since the first request was sent."""
        return self._tokens / max(time.monotonic() - self._started, 1e-9)

    def add(self, request: Request, answer: Answer) -> None:
        """Take an answer; write when enough have come, or enough time has passed."""
        self._waiting.append((request, answer))
        self._tokens += answer.output_tokens
        if len(self._waiting) >= self._rows or time.monotonic() - self._last >= self._seconds:
            self.now()

    def now(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._generations.add(self._waiting)
        self._waiting, self._last = [], time.monotonic()


def _matched(requests: Iterable[Request], answers: Iterable[Answer]) -> Iterable[tuple[Request, Answer]]:
    """Answers with their requests; an answer nobody asked for, or a second one, is a defect of the engine."""
    waiting = {request.key: request for request in requests}
    for answer in answers:
        request = waiting.pop(answer.key, None)
        if request is None:
            raise NightmillError(f"the engine answered {answer.key} twice or unasked; this is a defect")
        yield request, answer


def _outcome(
    request: Request, generation: Generation | None, error: str | None, reused: bool, reader: Reader
) -> Outcome:
    if generation is None:
        return Outcome(request, None, reused, "engine_error", error or "the engine gave no answer")
    try:
        return Outcome(request, read_answer(request, generation, reader), reused)
    except Refused as refused:
        cut_off = generation.finish_reason == "length" and not request.choices
        return Outcome(request, None, reused, refused.reason, refused.detail, generation.text, cut_off)
