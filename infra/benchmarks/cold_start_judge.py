"""Who answers the A/B questions of a trial: nobody, an oracle, or the night's model.

The job `simulate_cold_start` runs as it is: it chooses the questions and says how far the answers can be
trusted. The oracle is an engine that looks the answers up in what users really took, hidden events included:
it bounds what any model's judgement can buy. Only every second user is asked; what the answers are worth is
measured on the others.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.tables import TABLES
from infra.benchmarks.cold_start_known import Known, with_inputs
from jobs import simulate_cold_start
from jobs.llm.engine import Engine
from jobs.llm.ledger import expected_tokens
from jobs.llm.request import Answer, Request
from jobs.night import Night

Judge = Literal["none", "oracle", "model"]
_SURE = 0.99


class Judgement(NamedTuple):
    """Synthetic interactions, what the job says of its judge, requests, tokens (the oracle's by length)."""

    rows: pa.Table
    verdict: str
    requests: int
    tokens: int


class Oracle:
    """Answers "which of the two" by what users took; 0.5 where they took both or neither."""

    def __init__(self, taken: Mapping[str, Collection[str]]) -> None:
        self._taken = taken

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer a request."""
        for request in requests:
            user, first, second = request.entity_id.removeprefix("check|").rsplit("|", 2)
            taken = self._taken.get(user, ())
            likely = {(True, False): _SURE, (False, True): 1 - _SURE}.get(
                (first in taken, second in taken), 0.5
            )
            a, b = request.choices
            yield Answer(
                request.key,
                a if likely >= 0.5 else b,
                "stop",
                prompt_tokens=expected_tokens(request) - 1,
                output_tokens=1,
                choice_probabilities={a: likely, b: 1 - likely},
            )

    def close(self) -> None:
        """Nothing is held."""


def asked_half(users: Iterable[str]) -> set[str]:
    """Every second of the users in order of their ids: those who may be asked."""
    return set(sorted(users)[::2])


def judgement(known: Known, judge: Judge, taken: Mapping[str, Collection[str]], root: Path) -> Judgement:
    """Run `simulate_cold_start` over what is known; about cold items only users of `asked_half` are asked.

    taken: what the oracle knows. root: a folder for what is asked and answered.
    """
    nothing = TABLES["synthetic_interactions"].schema.empty_table()
    if judge == "none":
        return Judgement(nothing, "", 0, 0)
    settings = _settings(known, judge)
    night = Night(known.night.ds, settings, Store(root), known.night.inputs, known.night.run_id)
    users = night.read("user_embeddings")
    asked = pa.array(sorted(asked_half(known.history.user_ids.to_pylist())), pa.string())
    night.write("user_embeddings", users.filter(pc.is_in(users["user_id"], asked)))
    with_inputs(night, "user_embeddings")
    if judge == "oracle":
        simulate_cold_start.run(night, lambda: _opened(Oracle(taken)))
    else:
        simulate_cold_start.run(night)
    with_inputs(night, "synthetic_interactions")
    counts = night.counts
    tokens = counts["prompt_tokens"] + counts["output_tokens"]
    verdict = str(night.provenance.get("judge_verdict", ""))
    return Judgement(night.read("synthetic_interactions"), verdict, counts["requests"], tokens)


@contextmanager
def _opened(engine: Engine) -> Iterator[Engine]:
    yield engine


def _settings(known: Known, judge: Judge) -> Settings:
    """The settings of the night; the oracle, who costs nothing, is asked about every held-out item."""
    settings = known.night.settings
    if judge == "model":
        return settings
    pairs = settings.cold_start.users_per_item * len(known.cold)
    many = {"items": len(known.history.item_ids), "pairs": pairs}
    cold_start = settings.cold_start.model_copy(update=many)
    # The engine's name gives the oracle's answers a model of their own.
    generation = settings.generation.model_copy(update={"engine": "fake"})
    return settings.model_copy(update={"cold_start": cold_start, "generation": generation})
