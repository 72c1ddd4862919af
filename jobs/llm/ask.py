"""Asking a model about many rows: nothing twice, nothing lost, one outcome for each.

requests -> one per key -> those not in generations -> engine -> generations -> checked answers
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from feature_store.errors import NightmillError
from jobs.llm.engine import Model, open_engine
from jobs.llm.estimate import estimate
from jobs.llm.generations import Generation, Generations
from jobs.llm.inputs import record
from jobs.llm.ledger import Account, Entry, Ledger
from jobs.llm.recovery import OpenEngine, answers
from jobs.llm.request import Answer, Request
from jobs.llm.validate import Reader, Refused, read_answer
from jobs.night import Night

# From so many parts on, finding what is stored takes seconds.
MANY_PARTS = 2_000
# Refusals that another try may cure; the first of them by a longer answer, the others by another one.
CURABLE = ("truncated", "invalid_json", "schema_mismatch", "ungrounded", "unsafe")


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
    return int.from_bytes(sha256(entity_id.encode("utf-8", "surrogatepass")).digest()[:8], "big") % n == k - 1


def ask(
    night: Night,
    requests: Sequence[Request],
    reader: Reader,
    model: Model,
    job: str,
    open_: OpenEngine | None = None,
) -> list[Outcome]:
    """One outcome for each request, in the order given; with --shard or in a replay only for its own rows.

    Only what generations lack is asked, and an engine is opened only for that. Answers are stored every
    flush_rows answers or flush_seconds, and when anything goes wrong. A refused answer is asked for once
    more. Counts land in the night's manifest, costs in the ledger. Where the night's token budget ends,
    outcomes are `over_budget` and the night is incomplete.
    """
    night.count(cut_rows=sum(bool(request.cut_fields) for request in requests))
    requests = [
        request
        for request in requests
        if in_shard(request.entity_id, night.shard)
        and (night.only is None or request.entity_id in night.only)
    ]
    record(night, job, ((request.entity_id, request.messages) for request in requests))
    if len({request.entity_id for request in requests}) != len(requests):
        raise NightmillError(f"{job}: two requests for one row; this is a defect of the job")
    asking = Asking(night, model, job, open_)
    outcomes = asking.outcomes(requests, reader)
    if night.settings.generation.retry:
        outcomes = _retried(asking, outcomes, reader, night.settings.generation.retry_temperature)
    if [o.request.entity_id for o in outcomes] != [r.entity_id for r in requests]:
        raise NightmillError(f"{job}: outcomes do not match the requests; this is a defect")
    over = sum(outcome.reason == "over_budget" for outcome in outcomes)
    if over:
        night.incomplete = (
            f"{job} for {night.ds}: the token budget of this night is used up "
            f"(generation.budget.tokens = {night.settings.generation.budget.tokens:,}); {over:,} of "
            f"{len(outcomes):,} rows wait. What was answered is kept: raise the budget and run it again"
        )
    return outcomes


def _retried(asking: "Asking", outcomes: list[Outcome], reader: Reader, temperature: float) -> list[Outcome]:
    """The outcomes, the refused ones asked for once more: with a larger cap, or with another seed."""
    again = [
        o.request.with_larger_cap() if o.cut_off else o.request.with_other_seed(temperature)
        for o in outcomes
        if o.reason in CURABLE
    ]
    if not again:
        return outcomes
    second = {o.request.entity_id: o for o in asking.outcomes(again, reader, "again")}
    asking.night.count(retried=len(again))
    return [new if (new := second.get(o.request.entity_id)) and _says_more(new) else o for o in outcomes]


def _says_more(outcome: Outcome) -> bool:
    return outcome.reason not in ("engine_error", "over_budget")


class Asking:
    """The requests of one job in one night, and the accounts of answering them."""

    def __init__(self, night: Night, model: Model, job: str, open_: OpenEngine | None = None) -> None:
        self.night, self.job = night, job
        self.generations = Generations(night.store.root)
        self.ledger = Ledger(night.store.root)
        self._open = open_ or (lambda: open_engine(night.settings, model.resolved))
        self._account: Account | None = None

    def outcomes(self, requests: Sequence[Request], reader: Reader, which: str = "") -> list[Outcome]:
        """One outcome for each request, in their order; `which` tells this round of asking from others."""
        if not requests:
            return []
        (name,) = {request.prompt.name for request in requests}
        distinct = {request.key: request for request in requests}
        if not which and (parts := len(self.generations.parts(name))) > MANY_PARTS:
            self.night.note(f"{parts:,} parts hold answers to {name}: `nightmill compact` makes this faster")
        stored = self.generations.find(name, distinct)
        missing = [request for key, request in distinct.items() if key not in stored]
        self.night.count(requests=len(requests), cached=len(requests) - len(missing), asked=0)
        if not missing:
            return [_outcome(r, stored[r.key], None, True, reader) for r in requests]
        generation = self.night.settings.generation
        self.night.note(
            f"{self._title(which)}: "
            + estimate(missing, len(requests), self.ledger, self.night.ds, generation)
        )
        errors = self._answer(missing, 1 - len(missing) / len(requests), which)
        found = stored | self.generations.find(name, [r.key for r in missing])
        return [_outcome(r, found.get(r.key), errors.get(r.key), r.key in stored, reader) for r in requests]

    def _title(self, which: str) -> str:
        return f"{self.job}, {which}" if which else self.job

    def _answer(self, missing: Sequence[Request], reuse: float, which: str) -> dict[str, str]:
        """Ask an engine and store what it answers; why it did not, for those it could not answer."""
        # Neighbours share the longest prefixes, which the engine then computes once.
        ordered = sorted(missing, key=lambda request: [m["content"] for m in request.messages])
        settings, account = self.night.settings.generation, self._opened(ordered[0])
        flush = Flush(self.generations, account, settings.flush_rows, settings.flush_seconds)
        errors: dict[str, str] = {}
        with self.night.progress(len(ordered), self._title(which), "request") as bar:
            stream = answers(self._open, ordered, settings.engine_restarts, self.night.note, account.admits)
            try:
                for request, answer in stream:
                    flush.add(request, answer)
                    if answer.error is not None:
                        errors[request.key] = answer.error
                    bar.update(1, f"{flush.tokens_per_second:,.0f} tokens/s, {reuse:.0%} reused")
            finally:
                stream.close()
                flush.now()
        self.night.count(**flush.counts)
        return errors

    def _opened(self, request: Request) -> Account:
        """The run's account, one for all rounds of asking."""
        if self._account is None:
            shard = "{}/{}".format(*self.night.shard) if self.night.shard else ""
            entry = Entry(
                self.night.ds.isoformat(),
                self.job,
                self.night.run_id,
                request.prompt.name,
                request.model.model_id,
                self.night.settings.generation.engine,
                shard,
            )
            entry = self.ledger.begun(entry)
            self._account = Account(self.ledger, entry, self.night.settings.generation.budget.tokens)
        self._account.open()
        return self._account


class Flush:
    """Answers on their way to the disk."""

    def __init__(self, generations: Generations, account: Account, rows: int, seconds: float) -> None:
        self._generations, self._account = generations, account
        self._rows, self._seconds = rows, seconds
        self._waiting: list[tuple[Request, Answer]] = []
        self._started = self._last = time.monotonic()
        self.counts = {"asked": 0, "prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0}

    @property
    def tokens_per_second(self) -> float:
        """Output tokens a second since the first request was sent."""
        return self.counts["output_tokens"] / max(time.monotonic() - self._started, 1e-9)

    def add(self, request: Request, answer: Answer) -> None:
        """Take an answer; write when enough have come, or enough time has passed."""
        self._account.add(answer)
        self.counts["asked"] += 1
        for name in ("prompt_tokens", "cached_tokens", "output_tokens"):
            self.counts[name] += getattr(answer, name)
        if answer.error is None:
            self._waiting.append((request, answer))
        if len(self._waiting) >= self._rows or time.monotonic() - self._last >= self._seconds:
            self.now()

    def now(self) -> None:
        """Write what waits."""
        # The account first: what a crash in between leaves behind was paid for, but is not there.
        if self.counts["asked"]:
            self._account.write()
        if self._waiting:
            self._generations.add(self._waiting)
        # Only now: where a write failed, the last attempt, when asking ends, has them all.
        self._waiting, self._last = [], time.monotonic()


def _outcome(
    request: Request, generation: Generation | None, error: str | None, reused: bool, reader: Reader
) -> Outcome:
    if generation is None and error is None:
        return Outcome(request, None, reused, "over_budget", "the night's token budget was used up before it")
    if generation is None:
        return Outcome(request, None, reused, "engine_error", error or "")
    try:
        return Outcome(request, read_answer(request, generation, reader), reused)
    except Refused as refused:
        cut_off = generation.finish_reason == "length" and not request.choices
        return Outcome(request, None, reused, refused.reason, refused.detail, generation.text, cut_off)
