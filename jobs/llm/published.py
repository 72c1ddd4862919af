"""Published prompt versions: their files stay as they are, and a change is a new version.

prompts/published.json   {"<name>/v<N>": SHA-256 over the folder's files, as Prompt.hash}
"""

import json
from pathlib import Path

from jobs.llm.prompt import PROMPTS, load_prompt


def published(root: Path = PROMPTS) -> dict[str, str]:
    """The hash under which every listed version was published."""
    found: dict[str, str] = json.loads((root / "published.json").read_text("utf-8"))
    return found


def unlocked(root: Path = PROMPTS) -> list[str]:
    """One sentence for each version that is not as it was published, or that is listed nowhere."""
    listed = published(root)
    there = {
        f"{folder.parent.name}/{folder.name}": folder
        for folder in sorted(root.glob("*/v*"))
        if folder.is_dir()
    }
    gone = [
        f"{entry} is listed in published.json and is gone: put it back" for entry in listed.keys() - there
    ]
    return sorted(gone) + [
        problem for entry in there if (problem := _problem(entry, listed.get(entry), root))
    ]


def _problem(entry: str, as_published: str | None, root: Path) -> str:
    name, version = entry.split("/v")
    now = load_prompt(name, int(version), root).hash
    if as_published is None:
        return (
            f"{entry} is not locked: when it is ready, add this line to {root / 'published.json'}: "
            f'"{entry}": "{now}"'
        )
    if now != as_published:
        return (
            f"{entry} is published and its files changed: put the change into a new version "
            f"({name}/v{int(version) + 1}) and leave this one as published"
        )
    return ""
