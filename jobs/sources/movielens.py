"""MovieLens as GroupLens publishes it: 100K (u.data, u.item), 1M (`::`), and latest, 20M, 25M, 32M (CSV)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from jobs.sources import delimited
from jobs.sources.chunk import Chunk, Reader, Wanted, table
from jobs.sources.delimited import Dialect
from jobs.sources.places import File, Patterns

PATTERNS_100K: Patterns = {"interactions": ("u.data*",), "items": ("u.item*",), "users": ("u.user*",)}
PATTERNS_1M: Patterns = {
    "interactions": ("ratings.dat*",),
    "items": ("movies.dat*",),
    "users": ("users.dat*",),
}
PATTERNS_LATEST: Patterns = {"interactions": ("ratings.csv*",), "items": ("movies.csv*",), "users": ()}

# u.item ends with one flag a genre, in this order.
FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
NO_GENRES = "(no genres listed)"
RATING = ("user_id", "item_id", "rating", "timestamp")
DATA_100K = Dialect("\t", names=RATING)
ITEM_100K = Dialect(
    "|", names=("item_id", "title", "release_date", "video_release_date", "url", *FLAGS), encoding="latin-1"
)
# age, gender and zip code of users are not passed on
USER_100K = Dialect("|", names=("user_id", "age", "gender", "occupation", "zip_code"), encoding="latin-1")
RATINGS_1M = Dialect("::", names=RATING, encoding="latin-1")
MOVIES_1M = Dialect("::", names=("item_id", "title", "genres"), encoding="latin-1")
USERS_1M = Dialect("::", names=("user_id", "gender", "age", "occupation", "zip_code"), encoding="latin-1")
CSV = Dialect(",", quoted=True)

Row = Mapping[str, Any]


def _plain(dialect: Dialect, columns: tuple[str, ...] = ()) -> Reader:
    """A reader of the columns as they are; with `columns`, of these alone."""

    def read(file: File, wanted: Wanted) -> Iterator[Chunk]:
        asked = replace(wanted, columns=columns) if columns else wanted
        for chunk in delimited.read(file, asked, dialect):
            yield replace(chunk, columns=columns or chunk.columns)

    return read


def _films(dialect: Dialect, columns: tuple[str, ...], genres: Callable[[Row], list[str]]) -> Reader:
    """A reader of films: the columns as they are, and the genres as lists."""

    def read(file: File, wanted: Wanted) -> Iterator[Chunk]:
        for chunk in delimited.read(file, replace(wanted, columns=(*columns, "genres", *FLAGS)), dialect):
            rows = chunk.rows.to_pylist()
            found = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns}
            found["genres"] = pa.array([genres(row) for row in rows], pa.list_(pa.string()))
            yield replace(chunk, rows=table(found, len(rows)), columns=(*columns, "genres"))

    return read


def _flagged(row: Row) -> list[str]:
    return [genre for genre in FLAGS if row[genre] == "1" and genre != "unknown"]


def _piped(row: Row) -> list[str]:
    text = row.get("genres") or ""
    return [] if text.strip() == NO_GENRES else [genre for genre in text.strip().split("|") if genre]


READERS_100K: dict[str, Reader] = {
    "interactions": _plain(DATA_100K),
    "items": _films(ITEM_100K, ("item_id", "title", "release_date"), _flagged),
    "users": _plain(USER_100K, ("user_id", "occupation")),
}
READERS_1M: dict[str, Reader] = {
    "interactions": _plain(RATINGS_1M),
    "items": _films(MOVIES_1M, ("item_id", "title"), _piped),
    "users": _plain(USERS_1M, ("user_id", "occupation")),
}
READERS_LATEST: dict[str, Reader] = {
    "interactions": _plain(CSV),
    "items": _films(CSV, ("movieId", "title"), _piped),
}
