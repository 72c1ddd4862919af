"""What users took after a night, and the lists of that night beside it, as integer codes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from feature_store.tables import CHANNELS
from jobs.recommender.history import Codes

# Recall's merged list; also the stage of what is published when there is no ranker.
MERGED = "candidates"
# Users whose lists are in memory at once.
_USERS = 16_384


@dataclass(frozen=True)
class Terms:
    """How a night is judged: days after it, places of a list, and whether items taken before count again."""

    horizon_days: int
    longest: int
    repeats: bool = False


@dataclass(frozen=True)
class Items:
    """Every item of the night, in the order of its codes: what was known of it before the night.

    events and takers: events and distinct users before the night. listed: whether it was in the night's
    catalogue. users: all users with an event before the night.
    """

    ids: pa.Array
    events: NDArray[np.int64]
    takers: NDArray[np.int64]
    listed: NDArray[np.bool_]
    users: int


@dataclass(frozen=True)
class Block:
    """Some of the users who took something, their lists beside it; n users, p pairs of user and item taken.

    lists: stage -> item codes by place, -1 where there is none: shape (n, longest). scores: of the published
    list, NaN where there is no item. takers and taken: the pairs, places in the block and item codes.
    found: stage of recall -> which pairs were among its candidates: shape (p,). before: events of each user
    before the night. had: items of each before the night, ones: shape (n, items).
    """

    user_ids: list[str]
    lists: Mapping[str, Codes]
    scores: NDArray[np.float64]
    takers: Codes
    taken: Codes
    found: Mapping[str, NDArray[np.bool_]]
    before: NDArray[np.int64]
    had: csr_matrix


class Judged:
    """One night's lists beside what their users took afterwards; `judging.judging` opens it.

    users: how many took something that counts; newest_event: of those, None where nobody did; usual_events:
    median events before the night of those users.
    """

    newest_event: datetime | None

    def __init__(self, connection: duckdb.DuckDBPyConnection, terms: Terms) -> None:
        self._connection, self._terms = connection, terms
        newest = connection.sql("SELECT max(event_time) AS t FROM relevant").to_arrow_table()["t"][0]
        self.newest_event = newest.as_py()
        self.users, usual = self._row("SELECT count(*), coalesce(median(events), 0) FROM people")
        self.usual_events = float(usual)
        (ranked,) = self._row("SELECT count(*) FROM recommendations WHERE stage = 'ranker'")
        self.published = "ranker" if ranked else MERGED
        self.items = self._items()

    @property
    def stages(self) -> tuple[str, ...]:
        """What was published, then merged recall, then each channel alone."""
        return tuple(dict.fromkeys((self.published, MERGED, *CHANNELS)))

    def _row(self, query: str) -> Any:
        return self._connection.execute(query).fetchall()[0]

    def _items(self) -> Items:
        rows = self._connection.sql(
            "SELECT item_id, events, takers, listed FROM things ORDER BY item"
        ).to_arrow_table()
        (users,) = self._row("SELECT count(DISTINCT user_id) FROM past")
        events, takers, listed = (rows[name].to_numpy() for name in ("events", "takers", "listed"))
        return Items(rows["item_id"].combine_chunks(), events, takers, listed, int(users))

    def candidates_a_user(self) -> dict[str, int]:
        """How many candidates a user can have, merged and by channel; 0 for a channel that proposed none."""
        names = {MERGED: "rank"} | {name: f"{name}_rank" for name in CHANNELS}
        most = ", ".join(f"coalesce(max({column}), 0)" for column in names.values())
        return dict(zip(names, self._row(f"SELECT {most} FROM candidates"), strict=True))

    def score_bounds(self, parts: int) -> NDArray[np.float64]:
        """What parts the scores of the published lists into equally many: shape (parts - 1,)."""
        shares = [n / parts for n in range(1, parts)]
        (bounds,) = self._row(
            f"""
            SELECT quantile_cont(score, {shares}) FROM recommendations SEMI JOIN people USING (user_id)
            WHERE rank <= {self._terms.longest:d}
            """
        )
        return np.array(bounds or [np.inf] * len(shares), dtype=float)

    def covered(self, stage: str, k: int) -> tuple[int, int]:
        """Distinct items among the first k of all lists of a stage, judged or not, and users with a list."""
        view, rank = self._source(stage)
        counted = "count(DISTINCT item_id), count(DISTINCT user_id)"
        items, users = self._row(f"SELECT {counted} FROM {view} WHERE {rank} <= {k:d}")
        return items, users

    def _source(self, stage: str) -> tuple[str, str]:
        if stage == self.published:
            return "recommendations", "rank"
        return "candidates", "rank" if stage == MERGED else f"{stage}_rank"

    def blocks(self, size: int = _USERS) -> Iterator[Block]:
        """All users who took something that counts, in the order of their ids."""
        for start in range(0, self.users, size):
            ids = self._select(
                f"SELECT user_id FROM people WHERE person >= {start} AND person < {start + size}"
            )
            # A range of ids, so that files in their order are read in part only.
            names = sorted(ids["user_id"].to_pylist())
            yield self._block(names, start, {"first": names[0], "last": names[-1]})

    def _select(self, query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
        return self._connection.sql(query, params=values or {}).to_arrow_table()

    def _block(self, names: list[str], start: int, ends: Mapping[str, str]) -> Block:
        n, inside = len(names), "user_id BETWEEN $first AND $last"
        pairs = self._select(f"SELECT pair, person, item FROM relevant WHERE {inside} ORDER BY pair", ends)
        first_pair = pairs["pair"][0].as_py()
        listed = self._select(
            f"""
            SELECT person, item, rank, score FROM recommendations JOIN people USING (user_id)
            JOIN things USING (item_id) WHERE {inside} AND rank <= {self._terms.longest:d}
            """,
            ends,
        )
        lists, found = self._candidates(inside, ends, start, (n, pairs.num_rows), first_pair)
        places = _at(listed, start)
        lists[self.published] = _placed(*places, (n, self._terms.longest))
        scores = np.full((n, self._terms.longest), np.nan)
        scores[places[0], places[2] - 1] = listed["score"].to_numpy()
        events = self._select(f"SELECT events FROM people WHERE {inside} ORDER BY person", ends)
        return Block(
            names,
            {stage: lists[stage] for stage in self.stages},
            scores,
            _places(pairs["person"], start),
            pairs["item"].to_numpy().astype(np.int32),
            found,
            events["events"].to_numpy(),
            self._had(inside, ends, start, n),
        )

    def _had(self, inside: str, ends: Mapping[str, str], start: int, users: int) -> csr_matrix:
        """What each user of a block had taken before the night."""
        had = self._select(
            f"""
            SELECT DISTINCT person, item FROM past JOIN people USING (user_id) JOIN things USING (item_id)
            WHERE {inside}
            """,
            ends,
        )
        places = _places(had["person"], start), had["item"].to_numpy()
        return csr_matrix((np.ones(len(had)), places), shape=(users, len(self.items.ids)))

    def _candidates(
        self, inside: str, ends: Mapping[str, str], start: int, shape: tuple[int, int], first_pair: int
    ) -> tuple[dict[str, Codes], dict[str, NDArray[np.bool_]]]:
        """Lists of recall's stages, and which pairs each found; rows that are neither stay in DuckDB."""
        columns = {MERGED: "rank"} | {name: f"{name}_rank" for name in CHANNELS}
        longest = self._terms.longest
        shown = " OR ".join(f"{column} <= {longest:d}" for column in columns.values())
        rows = self._select(
            f"""
            SELECT people.person, things.item, relevant.pair, {", ".join(columns.values())}
            FROM candidates JOIN people USING (user_id) JOIN things USING (item_id)
            LEFT JOIN relevant
                ON relevant.user_id = candidates.user_id AND relevant.item_id = candidates.item_id
            WHERE candidates.{inside} AND (relevant.pair IS NOT NULL OR {shown})
            """,
            ends,
        )
        pair = rows["pair"].fill_null(-1).to_numpy()
        lists, found = {}, {}
        for stage, column in columns.items():
            rank = rows[column].fill_null(0).to_numpy()
            lists[stage] = _placed(
                _places(rows["person"], start), rows["item"].to_numpy(), rank, (shape[0], longest)
            )
            found[stage] = np.zeros(shape[1], dtype=bool)
            found[stage][pair[(pair >= 0) & (rank > 0)] - first_pair] = True
        return lists, found


def _at(rows: pa.Table, start: int) -> tuple[Codes, NDArray[np.int64], NDArray[np.int64]]:
    return _places(rows["person"], start), rows["item"].to_numpy(), rows["rank"].to_numpy()


def _places(column: pa.ChunkedArray, start: int) -> Codes:
    return (column.to_numpy() - start).astype(np.int32)


def _placed(
    users: Codes, items: NDArray[np.int64], ranks: NDArray[np.int64], shape: tuple[int, int]
) -> Codes:
    lists = np.full(shape, -1, dtype=np.int32)
    shown = (ranks >= 1) & (ranks <= shape[1])
    lists[users[shown], ranks[shown] - 1] = items[shown]
    return lists
