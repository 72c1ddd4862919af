"""RecBole's atomic files: tab-separated text with a `name:type` header, in which a quote is a character."""

from collections.abc import Iterator

from jobs.sources import delimited
from jobs.sources.chunk import Chunk, Wanted
from jobs.sources.places import File, Patterns

PATTERNS: Patterns = {
    role: (f"*{suffix}", f"*{suffix}.gz", f"*{suffix}.zst")
    for role, suffix in (("interactions", ".inter"), ("items", ".item"), ("users", ".user"))
}
DIALECT = delimited.Dialect("\t", rename=lambda cell: cell.split(":")[0].strip())


def read(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """Read a file of any role."""
    return delimited.read(file, wanted, DIALECT)
