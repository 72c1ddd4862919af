"""Amazon reviews as McAuley's group publishes them: 2014, 2018 and 2023, one JSON object a line.

What reviewers are called is in the files and never read. Metadata of 2014 are Python literals, not JSON.
"""

import ast
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa

from jobs.sources import json_lines
from jobs.sources.blocks import blocks
from jobs.sources.chunk import Chunk, Wanted, table
from jobs.sources.json_lines import flat
from jobs.sources.places import File, Patterns
from jobs.sources.values import TEXTS, price

PATTERNS_2014: Patterns = {
    "interactions": ("reviews_*_5.json*", "reviews_*.json*"),
    "items": ("meta_*.json*",),
    "users": (),
}
PATTERNS_2018: Patterns = {
    "interactions": ("*_5.json*", "reviews_*.json*", "*.json*"),
    "items": ("meta_*.json*",),
    "users": (),
}
PATTERNS_2023: Patterns = {"interactions": ("*.jsonl*",), "items": ("meta_*.jsonl*",), "users": ()}

# Of a review only what an event needs; its text and its writer's name stay behind.
REVIEW = (
    *("reviewerID", "asin", "overall", "unixReviewTime", "verified", "vote"),  # 2014 and 2018
    *("user_id", "parent_asin", "rating", "timestamp", "verified_purchase", "helpful_vote"),  # 2023
)
# The names of a catalogue's fields over the years.
FIELDS = {
    "asin": ("asin",),
    "parent_asin": ("parent_asin",),
    "title": ("title",),
    "description": ("description",),
    "features": ("features", "feature"),
    "categories": ("categories", "category"),
    "main_category": ("main_category", "main_cat"),
    "brand": ("brand", "store"),
    "price": ("price",),
}
IDS = ("asin", "parent_asin")
TAG = re.compile(r"<[^<>]*>")
# Pages that were scraped with their scripts and styles.
SCRAP = re.compile(r"getTime\(\)|function\s*\(|\{[^{}]*:[^{}]*\}")
LONGEST_PRICE = 40


def reviews(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """One row a review."""
    asked = tuple(name for name in wanted.columns if name in REVIEW)
    private = Wanted(asked, wanted.encoding, private=True)
    for chunk in json_lines.read(file, private):
        columns = [name for name in chunk.columns if name in REVIEW]
        yield Chunk(chunk.rows, chunk.lines, columns, chunk.refused)


def items(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """One row an item, under the names in FIELDS."""
    asked = [name for name in FIELDS if name in wanted.columns]
    for block in blocks(file, wanted.encoding or "utf-8"):
        records, lines, refused = json_lines.objects(file, block, wanted, literal)
        columns = {name: column(name, records) for name in asked}
        yield Chunk(table(columns, len(records)), lines, tuple(FIELDS), refused)


def literal(line: str) -> Any:
    """A line of metadata: JSON, or a Python literal; nothing in it is run."""
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line)


def column(name: str, records: list[dict[str, Any]]) -> pa.Array:
    """One field of the items, under any of its names, cleaned of markup."""
    keys = FIELDS[name]
    found = [next((record[key] for key in keys if record.get(key)), None) for record in records]
    if name == "price":
        return pa.array([cost(value) for value in found], pa.float64())
    if name == "categories":
        parts = [[clean_part(part) for part in flat(value)] for value in found]
        return pa.array([[part for part in dict.fromkeys(row) if part] for row in parts], TEXTS)
    return json_lines.column(found if name in IDS else [clean(value) for value in found])


def clean(value: Any) -> str | None:
    """Text without tags and entities; None where nothing is left, or what is left is script or style."""
    text = value if isinstance(value, str) else " ".join(flat(value))
    if "&" in text or "<" in text:
        text = TAG.sub(" ", html.unescape(text))
    text = " ".join(text.split())
    return None if not text or (("(" in text or "{" in text) and SCRAP.search(text)) else text


@lru_cache(maxsize=1 << 16)
def clean_part(part: str) -> str | None:
    """A category, cleaned; the same few come again and again."""
    return clean(part)


def cost(value: Any) -> float | None:
    """A price, of a span the lower one; None for anything else (scraped pages hold styles there)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or len(value) > LONGEST_PRICE:
        return None
    return price(value.strip().removeprefix("from "))
