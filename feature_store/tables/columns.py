"""The kinds of columns that more than one table has."""

import pyarrow as pa

from feature_store.contract import INTEGER, NUMBER, TEXT, Column

CURRENCY = "the source's currency"
MODEL_PROVENANCE = (
    Column("prompt_name", TEXT, "prompt that was asked"),
    Column("prompt_version", TEXT, "version of the prompt"),
    Column("prompt_hash", TEXT, "hash of the prompt's files"),
    Column("model_id", TEXT, "model that answered"),
    Column("model_revision", TEXT, "revision of the model"),
)


def user(doc: str = "user") -> Column:
    """The key of a user."""
    return Column("user_id", TEXT, doc)


def item(doc: str = "item") -> Column:
    """The key of an item."""
    return Column("item_id", TEXT, doc)


def count(name: str, doc: str) -> Column:
    """A whole number from 0 on."""
    return Column(name, INTEGER, doc, minimum=0)


def llm(name: str, type_: pa.DataType, doc: str, max_length: int | None = None) -> Column:
    """What a model wrote; max_length: characters."""
    return Column(name, type_, doc, max_length=max_length, from_model=True)


def share(name: str, doc: str) -> Column:
    """A number from 0 to 1, null where there is nothing to have a share of."""
    return Column(name, NUMBER, doc, True, 0, 1)
