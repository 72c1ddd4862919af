"""simulate_cold_start: items nobody knows yet, users near them -> synthetic_interactions.

The model is asked which of two items a user would take, in both orders. Of some questions the answer is
known: they are about what users did take. Only a judge that does better on these than chance is asked about
cold items, and how sure it was when it was right says what its word is worth. What comes out is never a fact
about a user.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from feature_store.sections import PROTECTED
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.history import cold_items, taken_items, users_with_few
from jobs.llm.accounts import describe
from jobs.llm.engine import asks, generation_fingerprint
from jobs.llm.preference import Preference
from jobs.llm.prompt import load_prompt
from jobs.llm.recovery import OpenEngine
from jobs.llm.wording import wording_fingerprint
from jobs.night import Night
from jobs.recommender.synthetic import Question, cold_questions
from jobs.recommender.synthetic_checks import check_users, checks
from jobs.recommender.synthetic_judge import PROMPT, Answered, Judge, Judged
from jobs.recommender.synthetic_known import Known, read_known
from jobs.recommender.synthetic_newcomers import about, newcomer_questions, newcomers, panel
from jobs.step import Input, Job


def run(night: Night, open_: OpenEngine | None = None) -> None:
    """Choose the questions, ask them, publish those whose answer is the same in both orders.

    open_: opens an engine in place of the one the settings name.
    """
    enabled = night.settings.cold_start.enabled
    if enabled == "never" or not asks(night.settings):
        off = "cold_start.enabled is never" if enabled == "never" else "generation.engine is none"
        night.note(f"nothing to ask: {off}")
        if night.shard is None:
            night.write("synthetic_interactions", _table([], None))
        return
    known = read_known(night)
    judge = Judge(night, known.items, open_)
    tests, questions = _checks(night, known), [*_about_cold_items(night, known), *_of_new_users(night, known)]
    judged, asked = _ask(judge, tests, questions, enabled == "always")
    night.count(selected=asked)
    if night.shard is None:
        describe(night, judge.prompt, judge.model)
        rows = [_row(answer, said, judged) for answer, said in judged.wanted()]
        _account(night, judged, len(questions), rows)
        newest = (known.histories[a.question.user_id].newest for a in judged.answers if a.question.history)
        night.write("synthetic_interactions", _table(rows, max(newest, default=None)))


def _ask(
    judge: Judge, tests: Sequence[Question], questions: Sequence[Question], always: bool
) -> tuple[Judged, int]:
    """All answers, and how many questions were asked: more than the tests only of a judge that passed them.

    The shard of a night does not know how others did on theirs, so it asks tests alone unless `always`.
    """
    if always:
        return Judged(judge.ask([*tests, *questions])), len(tests) + len(questions)
    judged = Judged(judge.ask(tests))
    if not judged.calibration.slope:
        return judged, len(tests)
    return Judged([*judged.answers, *judge.ask(questions)]), len(tests) + len(questions)


def _checks(night: Night, known: Known) -> list[Question]:
    """Questions about warm items, of which the answer is known from before as_of."""
    settings, warm = night.settings.cold_start, known.warm(night.settings.cold_start.max_events)
    users = check_users(known.histories, warm, known.texts, settings.check_pairs)
    taken = taken_items(night.files("interactions"), night.as_of, users)
    return checks(users, known.histories, taken, warm, known.texts, known.item_vectors)


def _about_cold_items(night: Night, known: Known) -> list[Question]:
    """Questions about cold items for the users near them."""
    settings = night.settings.cold_start
    names = cold_items(list(known.items), dict(known.counts), settings.max_events, settings.items)
    cold = {item: known.item_vectors[item] for item in names if item in known.item_vectors}
    users = {user: v for user, v in known.user_vectors.items() if user in known.histories}
    night.count(cold_items=len(cold))
    if len(cold) < 2 or not users:
        night.note(f"nothing to ask about: {len(cold)} cold items, {len(users)} users with a vector")
        return []
    found = cold_questions(cold, known.texts, users, settings.users_per_item, settings.pairs)
    return [replace(one, history=_shown(night, known, one.user_id)) for one in found]


def _of_new_users(night: Night, known: Known) -> list[Question]:
    """Questions about well-known items for users of whom hardly more is known than what the source says."""
    settings, files = night.settings.cold_start, night.files("interactions")
    if not settings.new_users:
        return []
    rows = night.read("users", ["user_id", "attributes"]).to_pylist()
    told = {row["user_id"]: said for row in rows if (said := about(row["attributes"], PROTECTED))}
    users = newcomers(
        told.keys() & users_with_few(files, night.as_of, settings.max_events), settings.new_users
    )
    if not users:
        return []
    items = panel(known.warm(settings.max_events), known.texts, known.item_vectors)
    shown = {user: _shown(night, known, user) for user in users if user in known.histories}
    taken = taken_items(files, night.as_of, users)
    return newcomer_questions(users, told, shown, taken, items, known.texts)


def _shown(night: Night, known: Known, user: str) -> tuple[str, ...]:
    return known.histories[user].item_ids[-night.settings.cold_start.user_history :]


def _row(answer: Answered, said: Preference, judged: Judged) -> dict[str, Any]:
    """The row of a question, turned so that the preferred item comes first."""
    question, takes_item = answer.question, said.probability > 0.5
    pair = (question.item, question.other) if takes_item else (question.other, question.item)
    first, second = (answer.straight, answer.flipped) if takes_item else (answer.flipped, answer.straight)
    return {
        **first.provenance,
        "other_generation_key": second.request.key,
        "user_id": question.user_id,
        "item_id": pair[0],
        "other_item_id": pair[1],
        "source": question.source,
        "probability": said.probability if takes_item else 1 - said.probability,
        "margin": said.margin if takes_item else -said.margin,
        "position_bias": said.position_bias,
        "confidence": judged.calibration.confidence(said.margin),
    }


def _table(rows: Sequence[dict[str, Any]], newest: datetime | None) -> pa.Table:
    """Rows of synthetic_interactions; each owes its confidence to all the histories that were shown."""
    schema = TABLES["synthetic_interactions"].schema
    names = [column.name for column in TABLES["synthetic_interactions"].columns] + ["input_max_event_time"]
    stamped = [row | {"input_max_event_time": newest} for row in rows]
    return pa.Table.from_pylist(stamped, pa.schema([schema.field(name) for name in names]))


def _account(night: Night, judged: Judged, questions: int, rows: Sequence[dict[str, Any]]) -> None:
    found, said = judged.calibration, judged.account()
    answered = len(judged.answers) - found.checks
    night.count(written=len(rows), disagreed=answered - len(rows), checks=found.checks)
    night.provenance.update(said)
    if said:
        night.note(
            f"{said['answers_first_share']:.0%} of {said['answers']:,} answers were the item that stood "
            f"first; with that lean taken out both orders agree on {said['agreement_rate']:.0%} of the "
            "questions"
        )
    night.note(_verdict(judged, questions))


def _verdict(judged: Judged, questions: int) -> str:
    """What the checks say, and what was done about it."""
    found = judged.calibration
    if not found.checks:
        said = "the judge could not be checked: there is no user with a known answer"
    else:
        said = (
            f"the judge {found.verdict}: right on {found.right:,} of {found.agreed:,} known questions on "
            f"which both orders agree ({found.low:.2f} to {found.high:.2f}), of {found.checks:,} asked"
        )
    if not found.slope and len(judged.answers) == found.checks:
        return f"{said}; {questions:,} questions about cold items and new users were not asked"
    return said if found.slope else f"{said}; what it said has confidence 0"


def fingerprint(settings: Settings) -> Any:
    """The prompt, its wording and the model."""
    return [
        load_prompt(PROMPT, settings.cold_start.prompt_version).hash,
        wording_fingerprint(settings),
        generation_fingerprint(settings),
    ]


JOB = Job(
    name="simulate_cold_start",
    summary="items, users, their vectors, interactions -> synthetic_interactions",
    inputs=(
        Input("items"),
        Input("users"),
        Input("item_embeddings"),
        Input("user_embeddings"),
        Input("interactions"),
    ),
    outputs=("synthetic_interactions",),
    run=run,
    settings=("cold_start",),
    fingerprint=fingerprint,
    shardable=True,
)
