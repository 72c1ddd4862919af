"""Which columns a column is made from, as far as something that runs says so.

SQL says it of the tables the transforms make (`jobs/sql_origins.py`), a prompt's template of the answers of
the model: they are made from what the template shows of a row. Of columns that Python makes nothing is said.
"""

import json
from functools import cache

from feature_store.contract import Column
from feature_store.settings import REPOSITORY, Settings
from feature_store.tables import TABLES

Origin = tuple[str, str]  # table, column
BY_SQL = REPOSITORY / "jobs" / "sql_origins.json"
PROMPTS = {"item_profiles": "profile_item", "user_profiles": "profile_user"}
# What picks the items of a history (jobs/history.py), whatever the template shows of them.
PICKED_BY = {
    "user_profiles": tuple(("interactions", name) for name in ("user_id", "item_id", "event_time", "weight"))
}
KEYS = {
    "item_profiles": {"item_id": (("items", "item_id"),)},
    "user_profiles": {"user_id": (("interactions", "user_id"),)},
}


def origins(table: str, settings: Settings) -> dict[str, tuple[Origin, ...]]:
    """By column of a table, the columns it is made from; columns of which it is not known are left out."""
    if table not in PROMPTS:
        return _by_sql().get(table, {})
    prompt = PROMPTS[table]
    profiles = settings.profiles
    version = profiles.item_prompt_version if prompt == "profile_item" else profiles.user_prompt_version
    shown = tuple(("items", name) for name in shown_columns(prompt, version))
    answered = {column.name: shown + PICKED_BY.get(table, ()) for column in _answers(table)}
    return KEYS[table] | answered


def _answers(table: str) -> list[Column]:
    return [column for column in TABLES[table].columns if column.from_model]


@cache
def _by_sql() -> dict[str, dict[str, tuple[Origin, ...]]]:
    found = json.loads(BY_SQL.read_text("utf-8"))
    return {
        table: {name: tuple((of, column) for of, column in made) for name, made in columns.items()}
        for table, columns in found.items()
    }


@cache
def shown_columns(prompt: str, version: int) -> tuple[str, ...]:
    """The columns of `items` that a prompt's template shows: what it asks of `row`, or of an `item` in it."""
    from jinja2 import Environment, nodes

    # Parsed and not rendered: what the filters do does not matter.
    source = (REPOSITORY / "prompts" / prompt / f"v{version}" / "prompt.jinja").read_text("utf-8")
    asked = Environment().parse(source).find_all(nodes.Getattr)
    names = {
        ask.attr for ask in asked if isinstance(ask.node, nodes.Name) and ask.node.name in {"row", "item"}
    }
    return tuple(sorted(names & {column.name for column in TABLES["items"].columns}))
