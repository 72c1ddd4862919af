"""The rows a ranker scores: a night's candidates with every feature, joined in memory by blocks of users.

The values are those of feature_store/transforms/pair_features.sql, which training runs; test_parity.py holds
the two together. Scoring needs no as-of join, for every table is the night's own partition: items are held as
arrays, and users are read in order beside the candidates, so that memory does not grow with the users.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_store.errors import NightmillError
from feature_store.in_order import UsersInOrder
from feature_store.tables import ITEM_FEATURES, PAIR_FEATURES, TABLES, USER_FEATURES
from jobs.night import Night
from jobs.recommender import pair_features
from jobs.recommender.history import Floats
from jobs.recommender.pair_features import Numbers, Ragged
from jobs.recommender.threads import cores, one_blas_thread
from jobs.recommender.vectors import aligned
from jobs.step import Input

FEATURES = ("item_features", "user_features", "item_embeddings", "user_embeddings")
INPUTS = tuple(Input(table) for table in ("candidates", *FEATURES))
CANDIDATES = [column.name for column in TABLES["candidates"].columns]

# Pair features that compare words: the user's words, their weights, the item's words.
_WORDS = {
    "pair_category_affinity_90d": ("user_category_names_90d", "user_category_shares_90d", "categories"),
    "pair_brand_affinity_90d": ("user_brand_names_90d", "user_brand_shares_90d", "brand"),
    "llm_pair_interests_overlap": ("llm_interests", "", "llm_tags"),
    "llm_pair_recent_tags_overlap": ("llm_recent_tags", "", "llm_tags"),
}
_PRICE = "pair_price_distance_90d"
_COSINES = tuple(f"llm_pair_embedding_similarity{which}" for which in ("", "_last", "_top3"))
_RECENT = "user_recent_items_90d"


def published() -> list[str]:
    """Every column `Joined.rows` can give: what a ranker may ask for."""
    made = (*ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES)
    return [*CANDIDATES, *(column.name for column in made)]


@dataclass(frozen=True)
class _Rows:
    """A block of candidates: its users, the user (a place among them) and the item code of each row."""

    user_ids: pa.Array
    starts: NDArray[np.int64]
    users: NDArray[np.intp]
    items: NDArray[np.int64]


class Joined:
    """The wanted features of a night's candidates; blocks must be asked for in the order of user_id."""

    def __init__(self, night: Night, item_ids: pa.Array, wanted: Collection[str]) -> None:
        """item_ids: sorted; the item codes of `rows` are places in it."""
        self._wanted, self._ids = frozenset(wanted), item_ids
        items = night.read("item_features")
        self._items = items.take(pc.index_in(item_ids, value_set=items["item_id"].combine_chunks()))
        self._item_known = self._items["item_id"].is_valid().to_numpy()
        self._columns = {c.name: _floats(self._items[c.name]) for c in ITEM_FEATURES}
        self._words = {name: self._item_words(name) for name in _WORDS if name in self._wanted}
        columns = {name for feature in self._words for name in _WORDS[feature][:2] if name} | {_RECENT}
        self._users = UsersInOrder(
            "user_features",
            night.files("user_features"),
            [*(c.name for c in USER_FEATURES), *sorted(columns)],
        )
        if self._compares:
            self._read_vectors(night)

    @property
    def _compares(self) -> bool:
        return not self._wanted.isdisjoint(_COSINES)

    def _item_words(self, feature: str) -> tuple[pa.Array, Ragged]:
        """The vocabulary of the items' words, and those of each item."""
        words = self._items[_WORDS[feature][2]].combine_chunks()
        if not pa.types.is_list(words.type):
            lengths = np.asarray(words.is_valid(), dtype=np.int32)
            starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)]).astype(np.int32)
            words = pa.ListArray.from_arrays(pa.array(starts), words.drop_null())
        vocabulary = pc.unique(pc.list_flatten(words))
        return vocabulary, pair_features.sets(words, vocabulary)

    def _read_vectors(self, night: Night) -> None:
        columns = ["item_id", "embedding", "model_id", "model_revision"]
        rows = night.read("item_embeddings", columns)
        models = rows.group_by(["model_id", "model_revision"]).aggregate([]).to_pylist()
        if len(models) > 1:
            raise NightmillError("item_embeddings has vectors of several models: run `nightmill embed` again")
        self._model = (models[0]["model_id"], models[0]["model_revision"]) if models else ("", "")
        self._vectors = aligned(rows, "item_id", self._ids)
        files = night.files("user_embeddings")
        self._user_vectors = UsersInOrder("user_embeddings", files, columns[1:])

    def rows(self, candidates: pa.Table, items: NDArray[np.int64]) -> pa.Table:
        """The candidates with the wanted features as floats, NaN where nothing is known.

        candidates: in order of user_id, the next users. items: the code of each candidate's item.
        """
        block = _rows(candidates, items)
        found = dict(zip(candidates.column_names, candidates.columns, strict=True))
        made: dict[str, Numbers] = {
            c.name: self._columns[c.name][items] for c in ITEM_FEATURES if c.name in self._wanted
        }
        users = _of_users(self._users, block.user_ids)
        numbers = {c.name: _floats(users[c.name]) for c in USER_FEATURES}
        made |= {name: values[block.users] for name, values in numbers.items() if name in self._wanted}
        with ThreadPoolExecutor(cores()) as pool:
            kept = numbers["user_items_count_90d"]
            words = {name: pool.submit(self._compared, name, block, users, kept) for name in self._words}
            if self._compares:
                made |= self._cosines(block, users[_RECENT].combine_chunks())
            if _PRICE in self._wanted:
                made[_PRICE] = self._price_distance(block, numbers["user_price_median_90d"])
            made |= {name: found.result() for name, found in words.items()}
        return pa.table(found | {name: pa.array(values) for name, values in made.items()})

    def _compared(self, feature: str, block: _Rows, users: pa.Table, kept: Numbers) -> Numbers:
        """Affinity with the item's categories or brand, overlap with its tags."""
        names, weights, of_item = _WORDS[feature]
        vocabulary, items = self._words[feature]
        lists = users[names].combine_chunks()
        shares = _floats(pc.list_flatten(users[weights].combine_chunks())) if weights else None
        words = pair_features.flat(lists, vocabulary)
        found = pair_features.sums(words, shares, items, len(vocabulary), block.users, block.items)
        known = self._item_known[block.items]
        if of_item == "brand":
            known = known & (np.diff(items.starts) > 0)[block.items]
        if weights:
            known = known & (np.nan_to_num(kept) > 0)[block.users]
            found = np.minimum(found, 1.0)
        else:
            known = known & lists.is_valid().to_numpy(zero_copy_only=False)[block.users]
        return np.where(known, found, np.nan)

    def _price_distance(self, block: _Rows, medians: Numbers) -> Numbers:
        price, usual = self._columns["item_price"][block.items], medians[block.users]
        known = (price > 0) & (usual > 0)
        return np.abs(np.log(np.where(known, price, np.nan) / np.where(known, usual, np.nan)))

    def _cosines(self, block: _Rows, recent: pa.Array) -> dict[str, Numbers]:
        rows = _of_users(self._user_vectors, block.user_ids)
        users, present = self._unit_vectors(rows)
        owner, codes = pair_features.flat(recent, self._ids)
        known = (codes >= 0) & self._vectors.known[codes] & present[owner]
        owner, codes = owner[known], codes[known]
        ends = np.searchsorted(owner, np.arange(1, len(block.user_ids)))
        with one_blas_thread():
            found = pair_features.cosines(
                self._vectors.matrix,
                self._vectors.known,
                users,
                np.split(codes, ends),
                block.starts,
                block.items,
            )
        return dict(zip(_COSINES, found, strict=True))

    def _unit_vectors(self, rows: pa.Table) -> tuple[Floats, NDArray[np.bool_]]:
        """Users' vectors of the items' model, NaN for those without; and who has a vector of any model."""
        width = self._vectors.matrix.shape[1]
        same = [pc.equal(rows[name], said) for name, said in zip(_MODEL, self._model, strict=True)]
        lengths = pc.equal(pc.list_value_length(rows["embedding"]), width)
        comparable = np.asarray(pc.fill_null(pc.and_(pc.and_(*same), lengths), False))
        vectors = np.full((rows.num_rows, width), np.nan, dtype=np.float32)
        usable = rows["embedding"].combine_chunks().filter(pa.array(comparable))
        vectors[comparable] = np.asarray(pc.list_flatten(usable)).reshape(-1 if width else len(usable), width)
        with np.errstate(invalid="ignore", divide="ignore"):
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors, rows["user_id"].is_valid().to_numpy()


_MODEL = ("model_id", "model_revision")


def _rows(candidates: pa.Table, items: NDArray[np.int64]) -> _Rows:
    runs = pc.run_end_encode(candidates["user_id"].combine_chunks())
    starts = np.concatenate([[0], np.asarray(runs.run_ends)]).astype(np.int64)
    users = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return _Rows(runs.values, starts, users, items)


def _of_users(table: UsersInOrder, user_ids: pa.Array) -> pa.Table:
    """The row of each user, null for those without one."""
    if not len(user_ids):
        return table.between("", "")
    rows = table.between(user_ids[0].as_py(), user_ids[-1].as_py())
    return rows.take(pc.index_in(user_ids, value_set=rows["user_id"].combine_chunks()))


def _floats(column: pa.ChunkedArray | pa.Array) -> Numbers:
    """Numbers and flags as floats, null as NaN."""
    cast = pc.cast(column, pa.float64())
    return np.asarray(pc.fill_null(cast, np.nan))
