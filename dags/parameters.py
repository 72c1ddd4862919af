"""What a person may choose for a run: JSON schemas for Airflow's forms, and how a choice reaches a job.

Airflow refuses what a schema does not allow, in the form, in its API and again in the task. A choice then
travels as the value of an environment variable or as one argument of a list, so no shell ever reads it.
"""

import json
from pathlib import Path

from airflow.sdk import Param

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_SHARDS = 64
# Parameter -> the variable that lays it over the settings; None leaves them as they are.
VARIABLES = {
    "profile": "NIGHTMILL_PROFILE",
    "item_prompt_version": "NIGHTMILL_PROFILES__ITEM_PROMPT_VERSION",
    "user_prompt_version": "NIGHTMILL_PROFILES__USER_PROMPT_VERSION",
    "budget_tokens": "NIGHTMILL_GENERATION__BUDGET__TOKENS",
}


def profiles() -> list[str]:
    """The profiles that can be laid over the default settings: the other files of infra/settings."""
    names = {path.stem for path in (REPOSITORY / "infra" / "settings").glob("*.toml")}
    return sorted(names - {"default"})


def prompt_versions(prompt: str) -> list[int]:
    """The published versions of a prompt, oldest first; a draft is not for a form."""
    published = json.loads((REPOSITORY / "prompts" / "published.json").read_text("utf-8"))
    return sorted(int(v) for name, _, v in (key.partition("/v") for key in published) if name == prompt)


def profile() -> Param:
    """Which profile of the settings; empty: the one Airflow's own environment names, if any."""
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *profiles()],
        title="Profile",
        description="Settings laid over the default ones. Empty: the profile of Airflow's environment.",
    )


def prompt_version(prompt: str, title: str) -> Param:
    """Which published version of a prompt; empty: as the settings say."""
    return Param(
        None,
        type=["null", "integer"],
        enum=[None, *prompt_versions(prompt)],
        title=title,
        description=f"A published version of prompts/{prompt}. Empty: as the settings say.",
    )


def shards() -> Param:
    """Into how many shares the requests of a night are divided."""
    return Param(
        1,
        type="integer",
        minimum=1,
        maximum=MOST_SHARDS,
        title="Shards",
        description="So many tasks share the requests to the model; as far as its pool has slots.",
    )


def budget_tokens() -> Param:
    """How many tokens the night may read and write; empty: as the settings say."""
    return Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Budget, tokens",
        description="The night stops asking when so many were read and written; 0: no limit. Empty: as the "
        "settings say.",
    )


def reprocess() -> Param:
    """Whether every job runs although nothing it reads has changed."""
    return Param(
        False,
        type="boolean",
        title="Reprocess",
        description="Run every job again, and take the source as it is now. Else a job whose inputs have not "
        "changed does nothing.",
    )


def since() -> Param:
    """From when on published nights are looked at by a renewal; empty: since the last one."""
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$(?!\n)",
        title="Since",
        description="Look at nights published from then on. Empty: since the last renewal began.",
    )


def template(name: str) -> str:
    """Jinja for a parameter as text: empty where it was left empty or the DAG has none of that name."""
    return f"{{{{ '' if params.get('{name}') is none else params.get('{name}') }}}}"


def flag(name: str) -> str:
    """Jinja for an option without a value: `--name` where the parameter is set, else empty."""
    option = "--" + name.replace("_", "-")
    return f"{{{{ '{option}' if params.get('{name}') else '' }}}}"
