"""MIND, the news of MSN: `behaviors.tsv` and `news.tsv`, without header, in which a quote is a character.

A line of behaviors is one visit: the news that were shown, each with -1 (clicked) or -0. The history in it
has no times and is not read.
"""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from jobs.sources import delimited
from jobs.sources.chunk import Chunk, Refused, Wanted, table
from jobs.sources.delimited import Dialect
from jobs.sources.places import File, Patterns

PATTERNS: Patterns = {
    "interactions": ("behaviors.tsv*", "*/behaviors.tsv*"),
    "items": ("news.tsv*", "*/news.tsv*"),
    "users": (),
}
BEHAVIORS = Dialect("\t", names=("impression_id", "user_id", "time", "history", "impressions"))
NEWS = Dialect(
    "\t",
    names=(
        *("news_id", "category", "subcategory", "title", "abstract"),
        *("url", "title_entities", "abstract_entities"),
    ),
)
EVENTS = ("user_id", "news_id", "time", "event")
ITEMS = ("news_id", "title", "abstract", "categories", "category", "subcategory")
LABELLED = r"^\S+-[01]( \S+-[01])*$"


def behaviors(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """One row for each news that was clicked, and for each that was shown where the settings want those."""
    raw = replace(wanted, columns=("user_id", "time", "impressions"))
    for chunk in delimited.read(file, raw, BEHAVIORS):
        visits = chunk.rows.combine_chunks()
        shown = pc.utf8_trim_whitespace(pc.fill_null(_one(visits["impressions"]), ""))
        labelled = pc.match_substring_regex(shown, LABELLED)
        refused = [
            Refused(
                f"{file.name}:{line}", "impressions are not all labelled -0 or -1 (the test part is not)", ""
            )
            for line in chunk.lines.filter(pc.invert(labelled)).to_pylist()
        ]
        parts = pc.split_pattern(pc.if_else(labelled, shown, None), " ")
        visit, label = pc.list_parent_indices(parts), pc.list_flatten(parts)
        event = pc.if_else(pc.ends_with(label, "-1"), "clicked", "shown")
        asked = pc.is_in(event, pa.array(wanted.events or ("clicked", "shown"), pa.string()))
        visit, label, event = visit.filter(asked), label.filter(asked), event.filter(asked)
        rows = {
            "user_id": _one(visits["user_id"]).take(visit),
            "news_id": pc.utf8_slice_codeunits(label, 0, -2),
            "time": _one(visits["time"]).take(visit),
            "event": event,
        }
        left_out = len(asked) - len(event)
        yield Chunk(pa.table(rows), chunk.lines.take(visit), EVENTS, [*chunk.refused, *refused], left_out)


def news(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """One row for each news, its categories the general one first."""
    raw = replace(wanted, columns=ITEMS)
    for chunk in delimited.read(file, raw, NEWS):
        columns = {name: _one(chunk.rows[name]) for name in chunk.rows.column_names}
        pairs = zip(columns["category"].to_pylist(), columns["subcategory"].to_pylist(), strict=True)
        columns["categories"] = pa.array(
            [[part for part in pair if part] for pair in pairs], pa.list_(pa.string())
        )
        yield Chunk(table(columns, len(chunk.lines)), chunk.lines, ITEMS, chunk.refused)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
