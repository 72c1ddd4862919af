"""simulate_cold_start: items nobody knows yet, users near them -> synthetic_interactions.

For each cold item the nearest users by text vectors are asked, in the model's imagination, which of two cold
items they would take; each question is asked in both orders. What comes out is never a fact about a user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.history import History, cold_items, event_counts, recent_items
from jobs.llm.accounts import describe
from jobs.llm.ask import Outcome, ask
from jobs.llm.engine import asks, find_model, generation_fingerprint, sampling_ref
from jobs.llm.preference import Pair, Preference, lean, read_preferences
from jobs.llm.prompt import load_prompt
from jobs.llm.request import Request
from jobs.llm.wording import Wording, wording_fingerprint
from jobs.night import Night
from jobs.step import Input, Job

PROMPT = "choose_item"


@dataclass(frozen=True)
class Question:
    """Would this user take `item` or `other`, both cold?"""

    user_id: str
    item: str
    other: str

    def entity(self, flipped: bool) -> str:
        """The row a request is for: the question in one of its two orders."""
        first, second = (self.other, self.item) if flipped else (self.item, self.other)
        return f"{self.user_id}|{first}|{second}"


def run(night: Night) -> None:
    """Choose the questions, ask each in both orders, publish where both orders agree."""
    model, sampling = find_model(night.settings), sampling_ref(night.settings, 1)
    wording = Wording.of(night.settings, model)
    prompt = load_prompt(PROMPT, night.settings.cold_start.prompt_version, wording=wording)
    items = {
        row["item_id"]: row for row in night.read("items", ["item_id", "title", "categories"]).to_pylist()
    }
    histories = _histories(night, items)
    questions = _questions(night, list(items), histories)
    requests = []
    for question in questions:
        liked = [items[item] for item in histories[question.user_id].item_ids]
        for flipped in (False, True):
            a, b = (question.other, question.item) if flipped else (question.item, question.other)
            row = {"history": liked, "a": items[a], "b": items[b]}
            requests.append(prompt.request(question.entity(flipped), row, model.ref, sampling))
    outcomes = ask(night, requests, _read, model, "simulate_cold_start")
    if night.shard is None:
        describe(night, prompt, model)
        newest = {user: history.newest for user, history in histories.items()}
        night.write("synthetic_interactions", _table(night, questions, outcomes, newest))


def _read(request: Request, value: Any) -> Mapping[str, float]:
    return {"first": value[request.choices[0]]}


def _histories(night: Night, items: Mapping[str, Any]) -> dict[str, History]:
    """The users whose recent taste is known, with the last liked items the catalogue still has."""
    last = night.settings.cold_start.user_history
    found = recent_items(night.files("interactions"), night.as_of, last)
    return {h.user_id: h for h in found if h.item_ids and all(item in items for item in h.item_ids)}


def _questions(night: Night, item_ids: Sequence[str], histories: Mapping[str, History]) -> list[Question]:
    """For each cold item its nearest users, against the next cold item; at most `pairs` of them."""
    if not asks(night.settings):
        night.note("nothing to ask: generation.engine is none")
        return []
    settings = night.settings.cold_start
    counts = event_counts(night.files("interactions"), night.as_of)
    cold = cold_items(item_ids, counts, settings.max_events, settings.items)
    vectors = _matrix(night, "item_embeddings", "item_id")
    users = {u: v for u, v in _matrix(night, "user_embeddings", "user_id").items() if u in histories}
    cold = [item for item in cold if item in vectors]
    night.count(cold_items=len(cold))
    if len(cold) < 2 or not users:
        night.note(f"nothing to ask: {len(cold)} cold items, {len(users)} users with a vector")
        return []
    return nearest_questions(
        {item: vectors[item] for item in cold}, users, settings.users_per_item, settings.pairs
    )


def nearest_questions(
    cold: Mapping[str, np.ndarray], users: Mapping[str, np.ndarray], users_per_item: int, pairs: int
) -> list[Question]:
    """Questions about each cold item for users among its most similar ones, every item once before any twice.

    As few users as will do are asked, each about several items: what a prompt says of a user is then read
    once. An item is asked about `users_per_item` times, against that many other items, which follow in the
    given order; no pair is asked of a user twice.
    """
    names, user_ids = list(cold), list(users)
    similarity = np.stack([cold[name] for name in names]) @ np.stack([users[u] for u in user_ids]).T
    ranked = np.argsort(-similarity, axis=1, kind="stable")[:, :users_per_item]
    asked = _few_users(ranked)
    questions: dict[tuple[str, frozenset[str]], Question] = {}
    for place in range(ranked.shape[1]):
        for index, name in enumerate(names):
            near = [user for user in ranked[index] if user in asked]
            other = names[(index + 1 + place) % len(names)]
            if other != name:
                user = user_ids[near[place % len(near)]]
                questions.setdefault((user, frozenset((name, other))), Question(user, name, other))
    return list(questions.values())[:pairs]


def _few_users(ranked: np.ndarray) -> set[int]:
    """Users so that each row of `ranked` (items x their nearest users) has one: always who serves most rows.

    Of users who serve equally many, the one who is nearest to them, by rank, is taken.
    """
    chosen: set[int] = set()
    waiting = list(ranked)
    while waiting:
        places: dict[int, list[int]] = {}
        for row in waiting:
            for place, user in enumerate(row):
                places.setdefault(int(user), []).append(place)
        best = min(places, key=lambda user: (-len(places[user]), sum(places[user]), user))
        chosen.add(best)
        waiting = [row for row in waiting if best not in row]
    return chosen


def _matrix(night: Night, table: str, key: str) -> dict[str, np.ndarray]:
    rows = night.read(table, [key, "embedding"])
    vectors = (np.asarray(vector, dtype=np.float32) for vector in rows["embedding"].to_pylist())
    return dict(zip(rows[key].to_pylist(), vectors, strict=True))


def _table(
    night: Night,
    questions: Sequence[Question],
    outcomes: Sequence[Outcome],
    newest: Mapping[str, datetime],
) -> pa.Table:
    """One row for each question whose two answers agree; what happened to the others is counted."""
    answered = _answered(night, questions, outcomes)
    pairs = [Pair((a.values or {})["first"], (b.values or {})["first"]) for _, a, b in answered]
    rows = [
        _row(*answers, preference) | {"input_max_event_time": newest[answers[0].user_id]}
        for answers, preference in zip(answered, read_preferences(pairs), strict=True)
        if preference.agree
    ]
    _account(night, questions, pairs, len(rows))
    schema = TABLES["synthetic_interactions"].schema
    names = [c.name for c in TABLES["synthetic_interactions"].columns] + ["input_max_event_time"]
    return pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in names]))


def _answered(
    night: Night, questions: Sequence[Question], outcomes: Sequence[Outcome]
) -> list[tuple[Question, Outcome, Outcome]]:
    """Questions with their answers in both orders; one with a refused answer goes to quarantine."""
    by_entity = {outcome.request.entity_id: outcome for outcome in outcomes}
    answered = []
    for question in questions:
        straight, flipped = (by_entity[question.entity(way)] for way in (False, True))
        bad = next((outcome for outcome in (straight, flipped) if outcome.values is None), None)
        if bad is None:
            answered.append((question, straight, flipped))
        else:
            night.quarantine(question.entity(False), bad.reason, bad.detail, bad.raw, bad.request.key)
    return answered


def _row(question: Question, straight: Outcome, flipped: Outcome, preference: Preference) -> dict[str, Any]:
    """The row of a question, turned so that the preferred item comes first."""
    takes_item = preference.probability > 0.5
    chosen, other = (question.item, question.other) if takes_item else (question.other, question.item)
    probability = preference.probability if takes_item else 1 - preference.probability
    return {
        **(straight if takes_item else flipped).provenance,
        "user_id": question.user_id,
        "item_id": chosen,
        "other_item_id": other,
        "probability": probability,
        "position_bias": preference.position_bias,
        "confidence": 2 * probability - 1,
    }


def _account(night: Night, questions: Sequence[Question], pairs: Sequence[Pair], written: int) -> None:
    night.count(selected=len(questions), written=written, disagreed=len(pairs) - written)
    if not pairs:
        return
    firsts = [p for pair in pairs for p in (pair.first_when_first, pair.first_when_second)]
    night.provenance.update(
        answers_first_share=sum(p > 0.5 for p in firsts) / len(firsts),
        position_lean_log_odds=lean(pairs),
        agreement_rate=written / len(pairs),
    )
    night.note(
        f"{sum(p > 0.5 for p in firsts):,} of {len(firsts):,} answers were the item that stood first; "
        f"with that lean taken out both orders agree on {written:,} of {len(pairs):,} questions"
    )


def fingerprint(settings: Settings) -> Any:
    """The prompt, its wording and the model."""
    return [
        load_prompt(PROMPT, settings.cold_start.prompt_version).hash,
        wording_fingerprint(settings),
        generation_fingerprint(settings),
    ]


JOB = Job(
    name="simulate_cold_start",
    summary="items, item_embeddings, user_embeddings, interactions -> synthetic_interactions",
    inputs=(
        Input("items"),
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
