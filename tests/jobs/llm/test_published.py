"""The lock on published prompts: what was published stays as it is."""

import json
from pathlib import Path

import pytest

from jobs.llm.prompt import load_prompt
from jobs.llm.published import unlocked

VERSION_1 = {
    "choose_item/v1": "87ea685e5b47ba58e622ca901ca2cbed73a48c33a8a30f308cc50f769c04213a",
    "profile_item/v1": "17fcfbe8282369ec9bf80b66e8d50eb61eff02bfe1cb7291cc80d20ad49f5f67",
    "profile_user/v1": "9b3bde244466c3c8275a7df883069e8ea6a020ed3946ff24c909d1c682e31fd5",
}


def test_every_version_is_as_it_was_published() -> None:
    assert not unlocked(), "\n".join(unlocked())


def test_the_first_versions_are_those_of_the_first_release() -> None:
    assert {entry: load_prompt(entry.split("/")[0], 1).hash for entry in VERSION_1} == VERSION_1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of prompts with one version, p/v1, which is locked."""
    folder = tmp_path / "p" / "v1"
    folder.mkdir(parents=True)
    for name, text in (("prompt.jinja", "--- user\nx\n"), ("output_schema.json", "{}"), ("golden.jsonl", "")):
        (folder / name).write_text(text, "utf-8")
    lock(tmp_path, {"p/v1": load_prompt("p", 1, tmp_path).hash})
    return tmp_path


def lock(root: Path, entries: dict[str, str]) -> None:
    (root / "published.json").write_text(json.dumps(entries), "utf-8")


def test_nothing_is_said_of_a_locked_version(root: Path) -> None:
    assert unlocked(root) == []


def test_a_change_belongs_into_a_new_version(root: Path) -> None:
    (root / "p" / "v1" / "prompt.jinja").write_text("--- user\ny\n", "utf-8")
    assert unlocked(root) == [
        "p/v1 is published and its files changed: put the change into a new version (p/v2) and leave this "
        "one as published"
    ]


def test_a_version_nobody_listed_is_answered_with_the_line_that_lists_it(root: Path) -> None:
    now = load_prompt("p", 1, root).hash
    lock(root, {})
    (said,) = unlocked(root)
    assert said == (
        f'p/v1 is not locked: when it is ready, add this line to {root / "published.json"}: "p/v1": "{now}"'
    )


def test_a_listed_version_that_is_gone_is_named(root: Path) -> None:
    lock(root, {"p/v1": load_prompt("p", 1, root).hash, "p/v0": "hash"})
    assert unlocked(root) == ["p/v0 is listed in published.json and is gone: put it back"]
