"""What a night showed its models, kept for an audit where settings ask for it (generation.record_inputs).

<data>/inputs/<job>-<ds>-<run_id>.jsonl     one line an input: entity_id, and the messages or the text
"""

import json
from collections.abc import Iterable
from typing import Any

from jobs.night import Night

INPUTS = "inputs"


def record(night: Night, job: str, inputs: Iterable[tuple[str, Any]]) -> None:
    """Append (entity_id, input) pairs to the record of a run, if the settings want one."""
    if not night.settings.generation.record_inputs:
        return
    folder = night.store.root / INPUTS
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{job}-{night.ds}-{night.run_id}.jsonl", "a", encoding="utf-8") as file:
        for entity_id, shown in inputs:
            line = {"entity_id": entity_id, "input": shown}
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")
