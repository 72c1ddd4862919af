"""What became of every row: refused ones to quarantine, accepted ones to a table, all of them counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from feature_store.errors import NightmillError
from feature_store.tables import TABLES
from jobs.llm.ask import Outcome
from jobs.llm.engine import Model
from jobs.llm.prompt import Prompt
from jobs.night import Night


def account(night: Night, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Quarantine the refused outcomes and count all; the accepted ones are returned.

    written + carried_forward + quarantined = selected, checked here.
    """
    accepted = [outcome for outcome in outcomes if outcome.values is not None]
    for outcome in outcomes:
        if outcome.values is None:
            night.quarantine(
                outcome.request.entity_id, outcome.reason, outcome.detail, outcome.raw, outcome.request.key
            )
    kinds = Counter("carried_forward" if outcome.reused else "written" for outcome in accepted)
    refused = sum(night.quarantined_by_reason().values())
    if kinds.total() + refused != len(outcomes):
        raise NightmillError(
            f"{len(outcomes)} rows, {kinds.total()} kept, {refused} refused; this is a defect"
        )
    night.count(selected=len(outcomes), written=kinds["written"], carried_forward=kinds["carried_forward"])
    return accepted


def as_table(
    table: str, accepted: Sequence[Outcome], newest: Mapping[str, datetime] | None = None
) -> pa.Table:
    """Accepted outcomes as rows of a table; newest: per entity, its newest event."""
    newest = newest or {}
    schema = TABLES[table].schema
    rows = [
        {**(o.values or {}), **o.provenance, "input_max_event_time": newest.get(o.request.entity_id)}
        for o in accepted
    ]
    names = [column.name for column in TABLES[table].columns] + ["input_max_event_time"]
    return pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in names]))


def describe(night: Night, prompt: Prompt, model: Model) -> None:
    """Put the prompt and the model behind a run into its manifest."""
    night.provenance.update(
        prompt_name=prompt.name,
        prompt_version=prompt.version,
        prompt_hash=prompt.hash,
        model_id=model.ref.model_id,
        model_revision=model.ref.revision,
        quantization=model.ref.quantization,
        adapter=model.ref.adapter,
        engine=night.settings.generation.engine,
    )
