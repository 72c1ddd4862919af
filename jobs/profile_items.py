"""profile_items: items -> item_profiles.

One question for every item in scope; an item that did not change costs nothing.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from feature_store.sections import Profiles
from feature_store.settings import Settings
from jobs.history import cold_items, event_counts
from jobs.llm.accounts import account, as_table, describe
from jobs.llm.ask import ask
from jobs.llm.engine import asks, find_model, generation_fingerprint, sampling_ref
from jobs.llm.prompt import load_prompt
from jobs.llm.protected import PRONOUNS
from jobs.llm.request import Request
from jobs.llm.text import clean
from jobs.llm.validate import Refused, refuse_ungrounded, refuse_unsafe
from jobs.llm.wording import Wording, wording_fingerprint
from jobs.night import Night
from jobs.step import Input, Job

PROMPT = "profile_item"
MAX_TOKENS = 96


def run(night: Night) -> None:
    """Ask about every item in scope and publish what could be accepted."""
    model, sampling = find_model(night.settings), sampling_ref(night.settings, MAX_TOKENS)
    wording = Wording.of(night.settings, model)
    prompt = load_prompt(PROMPT, night.settings.profiles.item_prompt_version, wording=wording)
    requests = [prompt.request(row["item_id"], as_row(row), model.ref, sampling) for row in _scope(night)]
    reader = partial(
        read_profile,
        language=night.settings.profiles.language,
        allowed=night.settings.privacy.allowed_attributes,
    )
    outcomes = ask(night, requests, reader, model, "profile_items")
    if night.shard is None:
        describe(night, prompt, model)
        night.write("item_profiles", as_table("item_profiles", account(night, outcomes)))


def _scope(night: Night) -> list[dict[str, Any]]:
    """Items that are worth a question: those with events enough, and the cold ones that are considered."""
    if not asks(night.settings):
        night.note("no item is profiled: generation.engine is none")
        return []
    settings = night.settings.profiles
    columns = ["item_id", "title", "description", "categories", "price", "attributes", "listed"]
    items = night.read("items", columns).to_pylist()
    counts = event_counts(night.files("interactions"), night.as_of)
    wanted = in_scope(items, counts, settings, night.settings.cold_start.max_events)
    night.count(out_of_scope=len(items) - len(wanted))
    if len(wanted) < len(items):
        night.note(
            f"{len(wanted):,} of {len(items):,} items are in scope: at least {settings.item_min_events} "
            f"events (profiles.item_min_events), and {settings.item_cold} cold ones (profiles.item_cold)"
        )
    return [row for row in items if row["item_id"] in wanted]


def in_scope(
    items: Sequence[Mapping[str, Any]], counts: dict[str, int], settings: Profiles, max_events: int
) -> set[str]:
    """Ids of the items to be asked about: of the cold ones those first whose source describes them nowhere.

    An item that stands in no catalogue is left out: nothing is known of it that a description could say.
    """
    listed = {row["item_id"]: row["description"] for row in items if row["listed"]}
    wanted = {item for item in listed if counts.get(item, 0) >= settings.item_min_events}
    left = settings.item_cold
    for described in (False, True):
        group = [item for item, description in listed.items() if bool(description) == described]
        cold = cold_items(group, counts, max_events, left)
        wanted.update(cold)
        left -= len(cold)
    return wanted


def as_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as the prompt's template reads it."""
    return {**item, "attributes": json.loads(item["attributes"])}


def read_profile(
    request: Request, value: Any, language: str = "English", allowed: Collection[str] = ()
) -> Mapping[str, Any]:
    """The values of a row; Refused where the description says what the item does not.

    allowed: the protected attributes it may speak of all the same.
    """
    description = clean(value["description"])
    source = [request.messages[-1]["content"]]
    if not description:
        raise Refused("schema_mismatch", "the description is empty")
    refuse_unsafe(description, [*source, PRONOUNS], allowed)
    refuse_ungrounded(description, source, language)
    return {
        "item_id": request.entity_id,
        "llm_description": description,
        "llm_tags": list(dict.fromkeys(value["tags"])),
        "llm_audience": value["audience"],
    }


def fingerprint(settings: Settings) -> Any:
    """The prompt, its wording, the model, and the scope."""
    version = settings.profiles.item_prompt_version
    return [
        load_prompt(PROMPT, version).hash,
        wording_fingerprint(settings),
        generation_fingerprint(settings),
        settings.profiles.item_min_events,
        settings.profiles.item_cold,
        settings.cold_start.max_events,
    ]


JOB = Job(
    name="profile_items",
    summary="items -> item_profiles",
    inputs=(Input("items"), Input("interactions")),
    outputs=("item_profiles",),
    run=run,
    fingerprint=fingerprint,
    shardable=True,
    replayable=True,
)
