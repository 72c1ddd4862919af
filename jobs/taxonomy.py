"""The categories of a catalogue: items that have some, items that have none, and what may be proposed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jobs.embed import text_of

# A category of more of the items than this says nothing about one of them: the root of a tree.
EVERYWHERE = 0.9


@dataclass(frozen=True)
class Item:
    """What is known of an item, and its text without its categories."""

    item_id: str
    row: Mapping[str, Any]
    text: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """Items with categories, those of them that are checks, and items to propose one for.

    names: the categories that tell items apart, those of most items first.
    """

    known: list[Item]
    checks: list[Item]
    wanted: list[Item]
    names: list[str]


def split(rows: Iterable[Mapping[str, Any]], checks: int, wanted: int) -> Catalogue:
    """The items that have a text besides their categories, at most so many of them checks and wanted.

    rows: item_id, title, description, categories, listed. Which are checks, and which are wanted first, is
    decided by hash of the id: the same ones night after night, so that nothing is asked anew.
    """
    items = [
        Item(row["item_id"], row, text, tuple(row["categories"]))
        for row in rows
        # an item that only events know has its id for a title
        if row["listed"] and (text := text_of({**row, "categories": []}))
    ]
    known = sorted((item for item in items if item.categories), key=_by_hash)
    without = sorted((item for item in items if not item.categories), key=_by_hash)
    held = Counter(category for item in known for category in set(item.categories))
    names = sorted((n for n in held if held[n] < EVERYWHERE * len(known)), key=lambda n: (-held[n], n))
    return Catalogue(known, known[:checks], without[:wanted], names)


def _by_hash(item: Item) -> bytes:
    return sha256(item.item_id.encode("utf-8", "surrogatepass")).digest()
