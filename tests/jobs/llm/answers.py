"""The same questions to whatever engine the settings name: `python -m tests.jobs.llm.answers OUT`.

A process of its own, because an engine in process is loaded once and never quite let go of.
"""

import json
import os
import sys
from collections.abc import Container
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from feature_store.partitions import Store
from feature_store.settings import load_settings
from jobs.llm.ask import ask
from jobs.llm.engine import find_model, sampling_ref
from jobs.llm.prompt import Prompt, load_prompt
from jobs.night import Night

TITLES = ("The Harbour", "Meadow Lights", "Station Eleven", "Island of Dogs", "Library", "Orchard Road")
GENRES = ("Comedy", "Drama", "Action", "Western")


def rows(prompt: Prompt, count: int) -> list[dict[str, Any]]:
    """The first golden row with titles and categories of its own for each."""
    row = prompt.golden[0]["row"]
    return [
        row | {"title": f"{TITLES[n % 6]} {1970 + n}", "categories": [GENRES[n % 4]]} for n in range(count)
    ]


def stored_keys(root: Path, asked: Container[str]) -> list[str]:
    """Those of the keys that are stored, one as often as it is stored."""
    parts = (root / "generations").glob("*/part-*.parquet")
    stored = (key for part in parts for key in pq.read_table(part, columns=["key"])["key"].to_pylist())
    return sorted(key for key in stored if key in asked)


def main() -> None:
    """Ask for some profiles and choices; write what came of each."""
    settings = load_settings()
    profiles = load_prompt("profile_item", settings.profiles.item_prompt_version)
    choices = load_prompt("choose_item", settings.cold_start.prompt_version)
    model, night = find_model(settings), Night(date(1998, 1, 2), settings, Store(settings.data_root), {}, "r")
    count = int(os.environ.get("ROWS", "8"))
    asked = [
        profiles.request(f"i{n}", row, model.ref, sampling_ref(settings, 96))
        for n, row in enumerate(rows(profiles, count))
    ]
    row = choices.golden[0]["row"]
    pairs = [
        choices.request(f"q{n}", each, model.ref, sampling_ref(settings, 1))
        for n, each in enumerate((row, row | {"a": row["b"], "b": row["a"]}))
    ]
    long = profiles.request("long", rows(profiles, 1)[0], model.ref, sampling_ref(settings, 8))
    *before, last = long.messages
    before.append({"role": "user", "content": f"{last['content']} {'word ' * 4000}"})
    long = replace(long, messages=tuple(before))
    found = [
        outcome
        for requests in ([*asked, long], pairs)
        for outcome in ask(night, requests, lambda _, value: value, model, "answers")
    ]
    text = json.dumps(
        {
            "outcomes": {
                o.request.entity_id: {"values": o.values, "reason": o.reason, "detail": o.detail}
                for o in found
            },
            "counts": dict(night.counts),
            "keys": stored_keys(settings.data_root, {o.request.key for o in found}),
        }
    )
    Path(sys.argv[1]).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
