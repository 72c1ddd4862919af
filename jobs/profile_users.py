"""profile_users: interactions, items -> user_profiles.

One question for every active user, about the last items the user liked before as_of and nothing else.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from feature_store.settings import Settings
from jobs.history import History, recent_items
from jobs.llm.accounts import account, as_table, describe
from jobs.llm.ask import ask
from jobs.llm.engine import asks, find_model, generation_fingerprint, sampling_ref
from jobs.llm.prompt import load_prompt
from jobs.llm.request import Request
from jobs.llm.text import clean
from jobs.llm.validate import Refused, refuse_ungrounded, refuse_unsafe
from jobs.llm.wording import Wording, wording_fingerprint
from jobs.night import Night
from jobs.step import Input, Job

PROMPT = "profile_user"
MAX_TOKENS = 80


def run(night: Night) -> None:
    """Ask about every user in scope and publish what could be accepted."""
    model, sampling = find_model(night.settings), sampling_ref(night.settings, MAX_TOKENS)
    wording = Wording.of(night.settings, model)
    prompt = load_prompt(PROMPT, night.settings.profiles.user_prompt_version, wording=wording)
    titles = shown_items(night)
    shown: dict[str, int] = {}
    newest, requests = {}, []
    for history in _scope(night, titles):
        row = {"history": [titles[item] for item in history.item_ids]}
        shown[history.user_id], newest[history.user_id] = len(row["history"]), history.newest
        requests.append(prompt.request(history.user_id, row, model.ref, sampling, history.user_id))

    language, allowed = night.settings.profiles.language, night.settings.privacy.allowed_attributes

    def read(request: Request, value: Any) -> Mapping[str, Any]:
        values = read_profile(request, value, language, allowed)
        return {**values, "history_events": shown[request.entity_id]}

    outcomes = ask(night, requests, read, model, "profile_users")
    if night.shard is None:
        describe(night, prompt, model)
        night.write("user_profiles", as_table("user_profiles", account(night, outcomes), newest))


def shown_items(night: Night) -> dict[str, dict[str, Any]]:
    """What a prompt shows of each item of somebody's history."""
    items = night.read("items", ["item_id", "title", "categories"])
    return {row["item_id"]: row for row in items.to_pylist()}


def _scope(night: Night, titles: Mapping[str, Any]) -> list[History]:
    """Active users, most recently active first, at most user_max; of items the catalogue still has."""
    if not asks(night.settings):
        night.note("no user is profiled: generation.engine is none")
        return []
    settings = night.settings.profiles
    since = night.as_of - timedelta(days=settings.user_active_days)
    everyone = recent_items(night.files("interactions"), night.as_of, settings.user_history)
    known = [replace(h, item_ids=tuple(item for item in h.item_ids if item in titles)) for h in everyone]
    active = [history for history in known if history.newest >= since and history.item_ids]
    wanted = active[: settings.user_max] if settings.user_max else active
    night.count(out_of_scope=len(everyone) - len(wanted))
    if len(wanted) < len(everyone):
        night.note(
            f"{len(wanted):,} of {len(everyone):,} users are in scope: an event in the last "
            f"{settings.user_active_days} days (profiles.user_active_days), "
            f"at most {settings.user_max} users (profiles.user_max)"
        )
    return wanted


def read_profile(
    request: Request, value: Any, language: str = "English", allowed: Collection[str] = ()
) -> Mapping[str, Any]:
    """The values of a row; Refused where the summary says what the history does not.

    allowed: the protected attributes it may speak of all the same.
    """
    summary = clean(value["summary"])
    source = [request.messages[-1]["content"]]
    if not summary:
        raise Refused("schema_mismatch", "the summary is empty")
    # Also where a title says it: an item about a religion says nothing of who took it.
    refuse_unsafe(summary, [], allowed)
    refuse_ungrounded(summary, source, language)
    return {
        "user_id": request.entity_id,
        "llm_summary": summary,
        "llm_interests": list(dict.fromkeys(value["interests"])),
    }


def fingerprint(settings: Settings) -> Any:
    """The prompt, its wording, the model, and the scope."""
    profiles = settings.profiles
    return [
        load_prompt(PROMPT, profiles.user_prompt_version).hash,
        wording_fingerprint(settings),
        generation_fingerprint(settings),
        profiles.user_active_days,
        profiles.user_max,
        profiles.user_history,
    ]


JOB = Job(
    name="profile_users",
    summary="interactions, items -> user_profiles",
    inputs=(Input("interactions"), Input("items")),
    outputs=("user_profiles",),
    run=run,
    fingerprint=fingerprint,
    shardable=True,
    replayable=True,
)
