"""Amazon reviews as McAuley's group publishes them: 2014, 2018 and 2023, one JSON object a line.

What reviewers are called is in the files and never read. Metadata of 2014 are Python literals, not JSON.
"""

import ast
import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from jobs.sources import json_lines
from jobs.sources.blocks import blocks
from jobs.sources.chunk import Chunk, Wanted, table
from jobs.sources.json_lines import flat
from jobs.sources.places import File, Patterns
from jobs.sources.values import price

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
    for block in blocks(file, wanted.encoding or "utf-8"):
        records, lines, refused = json_lines.objects(file, block, wanted, literal)
        rows = [item(record) for record in records]
        columns = {name: json_lines.column([row[name] for row in rows]) for name in FIELDS}
        columns["categories"] = pa.array([row["categories"] for row in rows], pa.list_(pa.string()))
        columns["price"] = pa.array([row["price"] for row in rows], pa.float64())
        yield Chunk(table(columns, len(rows)), lines, tuple(FIELDS), refused)


def literal(line: str) -> Any:
    """A line of metadata: JSON, or a Python literal; nothing in it is run."""
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line)


def item(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of one item, cleaned of markup."""
    found = {name: next((record[k] for k in keys if record.get(k)), None) for name, keys in FIELDS.items()}
    for name in ("title", "description", "features", "main_category", "brand"):
        found[name] = clean(found[name])
    categories = (clean(part) for part in flat(found["categories"]))
    found["categories"] = list(dict.fromkeys(part for part in categories if part))
    found["price"] = cost(found["price"])
    return found


def clean(value: Any) -> str | None:
    """Text without tags and entities; None where nothing is left, or what is left is script or style."""
    text = TAG.sub(" ", html.unescape(" ".join(flat(value))))
    text = " ".join(text.split())
    return None if not text or SCRAP.search(text) else text


def cost(value: Any) -> float | None:
    """A price, of a span the lower one; None for anything else (scraped pages hold styles there)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or len(value) > LONGEST_PRICE:
        return None
    return price(value.strip().removeprefix("from "))
