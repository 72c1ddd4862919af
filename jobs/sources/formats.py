"""The formats a source may be in, by name: where each role's files are, and what reads them.

To add one: write its readers (see `chunk.py`) in a file of its own, and give it a line in FORMATS.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from feature_store.errors import SettingsError
from jobs.sources import amazon, delimited, json_lines, mind, movielens, parquet, recbole
from jobs.sources.chunk import Chunk, Reader, Wanted
from jobs.sources.delimited import Dialect
from jobs.sources.places import ROLES, File, Patterns


@dataclass(frozen=True)
class Format:
    """How a publisher lays out its data.

    patterns: for each role the globs that may find its files; the first that finds one counts. readers: for
    each role.
    """

    patterns: Patterns
    readers: Mapping[str, Reader]


def _csv(file: File, wanted: Wanted) -> Iterator[Chunk]:
    return delimited.read(file, wanted, Dialect(wanted.delimiter or ",", quoted=True))


def _tsv(file: File, wanted: Wanted) -> Iterator[Chunk]:
    return delimited.read(file, wanted, Dialect(wanted.delimiter or "\t", quoted=True))


BY_SUFFIX: dict[str, Reader] = {
    ".parquet": parquet.read,
    ".pq": parquet.read,
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
    ".json": json_lines.read,
    ".inter": recbole.read,
    ".item": recbole.read,
    ".user": recbole.read,
}


def _by_suffix(file: File, wanted: Wanted) -> Iterator[Chunk]:
    """Read a file as its suffix says."""
    if file.suffix not in BY_SUFFIX:
        raise SettingsError(
            f"{file.path}: what a {file.suffix or 'file without suffix'} holds is not known "
            f"({', '.join(BY_SUFFIX)} are, .gz and .zst of them too); give source.format or another pattern"
        )
    return BY_SUFFIX[file.suffix](file, wanted)


def _named(role: str) -> tuple[str, ...]:
    """The files a source has where the settings name none: `interactions.csv.gz`, a folder, RecBole's."""
    plain = [suffix for suffix, reader in BY_SUFFIX.items() if reader is not recbole.read]
    ends = (*plain, *(f"{suffix}{end}" for end in (".gz", ".zst") for suffix in plain))
    return (*(f"{role}{end}" for end in ends), role, *recbole.PATTERNS[role])


FORMATS: dict[str, Format] = {
    "auto": Format({role: _named(role) for role in ROLES}, dict.fromkeys(ROLES, _by_suffix)),
    "recbole": Format(recbole.PATTERNS, dict.fromkeys(ROLES, recbole.read)),
    "amazon-2014": Format(amazon.PATTERNS_2014, {"interactions": amazon.reviews, "items": amazon.items}),
    "amazon-2018": Format(amazon.PATTERNS_2018, {"interactions": amazon.reviews, "items": amazon.items}),
    "amazon-2023": Format(amazon.PATTERNS_2023, {"interactions": amazon.reviews, "items": amazon.items}),
    "mind": Format(mind.PATTERNS, {"interactions": mind.behaviors, "items": mind.news}),
    "movielens-100k": Format(movielens.PATTERNS_100K, movielens.READERS_100K),
    "movielens-1m": Format(movielens.PATTERNS_1M, movielens.READERS_1M),
    "movielens-latest": Format(movielens.PATTERNS_LATEST, movielens.READERS_LATEST),
}


def find(name: str) -> Format:
    """The format of a name; SettingsError lists them all."""
    if name not in FORMATS:
        raise SettingsError(f"source.format = {name!r} is not known; there are: {', '.join(FORMATS)}")
    return FORMATS[name]
