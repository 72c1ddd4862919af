"""The lists of a block of users: candidates, scored, filtered, ordered, and filled to their full length."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from feature_store.errors import NightmillError
from feature_store.in_order import UsersInOrder
from feature_store.tables import TABLES
from jobs import scoring_rows
from jobs.deny_list import read_deny_list
from jobs.night import Night
from jobs.recommender import channels, contributions, diversity, trending
from jobs.recommender.history import Codes, History, codes
from jobs.recommender.lists import Lists, best, beyond, explore, fill
from jobs.recommender.ranker import Scorer, proposed
from jobs.recommender.vectors import aligned

MADE = ["user_id", "rank", "item_id", "score", "channels", "explored", "contributions"]
_SCHEMA = pa.schema([TABLES["recommendations"].schema.field(name) for name in MADE])
# Scores that agree to so many decimals are a tie: the last bits depend on how a sum is laid out.
_DECIMALS = 9


class ListMaker:
    """Makes lists; blocks of users must be asked for in the order of their ids."""

    def __init__(self, night: Night, history: History, scorer: Scorer | None) -> None:
        self._night, self._history, self.scorer = night, history, scorer
        self._settings = night.settings.recommend
        self._most_cold = int(self._settings.top * self._settings.explore_cap)
        self.filled = 0
        items = night.read("items", ["item_id", "categories", "listed"])
        items = items.take(pc.index_in(history.item_ids, value_set=items["item_id"].combine_chunks()))
        self._allowed = self._available(items)
        popular = trending.fit(history, night.settings.recall.trending_half_life_days, whole_catalogue=True)
        offered = self._allowed[popular.order]
        self._popular = replace(popular, order=popular.order[offered], popularity=popular.popularity[offered])
        self._candidates = UsersInOrder("candidates", night.files("candidates"), scoring_rows.CANDIDATES)
        self._joined = (
            scoring_rows.Joined(night, history.item_ids, scorer.features) if scorer is not None else None
        )
        self._alike = self._likeness(items) if self._settings.diversity else None

    def _available(self, items: pa.Table) -> NDArray[np.bool_]:
        """Which items may be recommended: those that stand in the catalogue and are not denied."""
        listed = np.asarray(items["listed"], dtype=bool)
        # A source without a catalogue says nothing about what can be had.
        allowed = listed if listed.any() else np.ones(len(listed), dtype=bool)
        denied = read_deny_list(self._settings.deny_file)
        at = codes(pa.chunked_array([pa.array(denied, pa.string())]), self._history.item_ids)
        if unknown := int((at < 0).sum()):
            self._night.note(
                f"recommend: {unknown:,} of {len(denied):,} items of {self._settings.deny_file} are not in "
                "the catalogue"
            )
        allowed = allowed.copy()
        allowed[at[at >= 0]] = False
        return allowed

    def _likeness(self, items: pa.Table) -> diversity.Alike:
        vectors = self._night.read("item_embeddings", ["item_id", "embedding", "model_id"])
        found = aligned(vectors, "item_id", self._history.item_ids)
        return diversity.Alike.of(items["categories"].combine_chunks(), found)

    def lists(self, users: Codes) -> pa.Table:
        """The lists of a block of users, in order of user and rank, columns MADE."""
        seen = channels.seen(self._history, users, self._night.settings.recall)
        rows, of_user, items = self._read(users, seen)
        rows, scores, first = self._scored(rows, items)
        if not np.isfinite(scores).all():
            raise NightmillError(
                "a score is not a finite number: run `nightmill fit_recall` and `train_ranker` again"
            )
        scores = scores.round(_DECIMALS)
        top = self._settings.top
        cold = _floats(rows["cold_start_score"])
        # Proposed as a cold item and by no other channel: nothing that anybody did speaks for it.
        only = ~np.isnan(cold) & (np.asarray(pc.list_value_length(rows["channels"])) == 1)
        first &= ~beyond(of_user, items, np.where(only, scores, np.nan), self._most_cold)
        listed = self._ordered(of_user, items, scores, np.flatnonzero(first))
        # What only a channel proposed that the ranker may not look at comes behind all others, and so do
        # cold items beyond their share.
        later = np.flatnonzero(~first)
        order, _ = best(of_user[later], items[later], scores[later], top)
        listed = listed.then(Lists.of(of_user, items, scores, later[order]))
        listed = listed.where(listed.ranks <= top)
        listed = explore(listed, of_user, items, scores, cold, top, self._settings.explore_share)
        added = fill(listed, seen, self._popular, top)
        self.filled += len(added.users)
        return self._as_rows(listed.then(added), users, rows)

    def _read(self, users: Codes, seen: csr_matrix) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
        """The candidates of these users that may be shown, each once; their users (places) and items."""
        ids = self._history.user_ids.take(pa.array(users))
        rows = self._candidates.between(ids[0].as_py(), ids[-1].as_py())
        of_user = codes(rows["user_id"], ids).astype(np.int64)
        items = codes(rows["item_id"], self._history.item_ids).astype(np.int64)
        wanted = (of_user >= 0) & (items >= 0) & self._allowed[items]
        keys = of_user * seen.shape[1] + items
        taken = np.repeat(np.arange(len(users)), np.diff(seen.indptr)) * np.int64(seen.shape[1])
        wanted &= ~np.isin(keys, taken + seen.indices)
        places = np.flatnonzero(wanted)
        places = places[np.sort(np.unique(keys[places], return_index=True)[1])]
        return rows.take(pa.array(places)), of_user[places], items[places]

    def _scored(
        self, rows: pa.Table, items: NDArray[np.int64]
    ) -> tuple[pa.Table, NDArray[np.float64], NDArray[np.bool_]]:
        """The rows with what they were scored by, their scores, and which of them the ranker is there for."""
        if self._joined is None or self.scorer is None:
            return rows, rows["score"].to_numpy(), np.ones(rows.num_rows, dtype=bool)
        with self._timed("join"):
            rows = self._joined.rows(rows, items)
        with self._timed("score"):
            return rows, self.scorer.score(rows), proposed(rows, self.scorer.features)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._night.timings[what] = self._night.timings.get(what, 0.0) + time.monotonic() - started

    def _ordered(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        scores: NDArray[np.float64],
        among: NDArray[np.intp],
    ) -> Lists:
        """The first places of each user among some candidates: by score, with a dial by difference too."""
        top, dial = self._settings.top, self._settings.diversity
        pooled = top if self._alike is None else diversity.POOL * top
        order, ranks = best(users[among], items[among], scores[among], pooled)
        order = among[order]
        if self._alike is None:
            return Lists.of(users, items, scores, order)
        shape = (int(users.max(initial=-1)) + 1, int(ranks.max(initial=0)))
        place = np.full(shape, -1)
        place[users[order], ranks - 1] = order
        pool, value = np.where(place >= 0, items[place], -1), scores[place]
        chosen = diversity.rerank(pool, value, self._alike, top, dial)
        new = np.where(chosen >= 0, np.take_along_axis(place, np.maximum(chosen, 0), axis=1), -1).ravel()
        return Lists.of(users, items, scores, new[new >= 0])

    def _as_rows(self, listed: Lists, users: Codes, rows: pa.Table) -> pa.Table:
        ids = self._history
        found = rows["channels"].take(pa.array(listed.places, mask=listed.places < 0))
        filled = pa.scalar(["trending"], _SCHEMA.field("channels").type)
        return pa.table(
            {
                "user_id": ids.user_ids.take(pa.array(users[listed.users])),
                "rank": pa.array(listed.ranks),
                "item_id": ids.item_ids.take(pa.array(listed.items)),
                "score": pa.array(listed.scores),
                "channels": pc.if_else(found.is_valid(), found, filled),
                "explored": pa.array(listed.explored),
                "contributions": self._explained(listed, rows),
            }
        ).cast(_SCHEMA)

    def _explained(self, listed: Lists, rows: pa.Table) -> pa.Array:
        """Sentences for the first places of each list; none for what was not scored by a ranker."""
        type_ = _SCHEMA.field("contributions").type
        wanted = (listed.ranks <= self._settings.explained) & (listed.places >= 0)
        if self.scorer is None or not wanted.any():
            return pa.array([[]] * len(listed.users), type_)
        shown = rows.take(pa.array(listed.places[wanted]))
        with self._timed("explain"):
            said = contributions.sentences(
                shown, self.scorer.contributions(shown), self.scorer.features, self._settings.contributions
            )
        at = np.where(wanted, np.cumsum(wanted) - 1, 0)
        spread = said.take(pa.array(at, mask=~wanted))
        return pc.if_else(spread.is_valid(), spread, pa.scalar([], type_))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan))
