"""What is known of an item without anybody having touched it, as blocks of weighted words.

words: title and description. facts: categories, brand, attributes, price, and what the model says of the item
(tags, audience). code: the item's id, because catalogues number what belongs together, or came together, in a
row. Whether a block says anything at all is learnt (`mixture`), so one that does not costs nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from jobs.recommender.history import Codes, Floats
from jobs.recommender.vectors import Vectors

NAMES = ("text", "words", "facts", "code")
ITEM_COLUMNS = ["item_id", "title", "description", "categories", "brand", "price", "attributes"]
PROFILE_COLUMNS = ["item_id", "llm_tags", "llm_audience"]
# A number is known by the part of the catalogue's numbers it lies in, coarse and fine.
_PARTS = (4, 16, 64)
# Item numbers that are as near as this count as neighbours, from close relatives to the same years.
_WIDTHS = (10, 30, 100, 300, 1000)
_PREFIXES = range(2, 7)
_NUMBER = re.compile(r"\d{1,15}")
_SEPARATORS = re.compile(r"\s*[|,;/]\s*")


@dataclass(frozen=True)
class ItemWords:
    """Rows of length one, in the order of a history's item codes; a row of zeros where nothing is known.

    text: the text vectors, shape (items, d). words, facts, code: shape (items, words of the block), without
    the words that only one item has: they are like nothing.
    """

    text: Floats
    words: csr_matrix
    facts: csr_matrix
    code: csr_matrix

    @property
    def known(self) -> Any:
        """Items of which anything but the number is known: shape (items,)."""
        return self.text.any(axis=1) | (np.diff(self.words.indptr) > 0) | (np.diff(self.facts.indptr) > 0)

    def cosines(self, name: str, left: Codes, right: Codes) -> Floats:
        """The cosine of each of one list of items with each of another, by one block."""
        block = getattr(self, name)
        found = block[left] @ block[right].T
        return np.asarray(found.todense() if isinstance(found, csr_matrix) else found, dtype=np.float32)


def item_words(
    items: pa.Table, profiles: pa.Table, vectors: Vectors, ids: pa.Array, numbers: bool = True
) -> ItemWords:
    """The blocks of every item.

    items: ITEM_COLUMNS. profiles: PROFILE_COLUMNS, of the items that have one. vectors: in the order of ids.
    numbers: whether ids say anything.
    """
    rows = {row["item_id"]: row for row in items.to_pylist()}
    told = {row["item_id"]: row for row in profiles.to_pylist()}
    names = ids.to_pylist()
    texts = [f"{rows[name]['title']} {rows[name]['description'] or ''}" for name in names]
    facts = _facts([rows[name] | told.get(name, {}) for name in names])
    codes = _codes(names) if numbers else [[] for _ in names]
    return ItemWords(vectors.matrix, _weighted(texts), _weighted(facts), _weighted(codes))


def _weighted(documents: Any) -> csr_matrix:
    """TF-IDF of texts or of lists of words, rows of length one; then words of a single item are dropped."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    lists = bool(documents) and not isinstance(documents[0], str)
    weights = TfidfVectorizer(
        sublinear_tf=True, dtype=np.float32, **({"analyzer": lambda words: words} if lists else {})
    )
    try:
        matrix = weights.fit_transform(documents).tocsr()
    except ValueError:  # no document has a word
        return csr_matrix((len(documents), 0), dtype=np.float32)
    shared = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 1
    return csr_matrix(matrix[:, shared])


def _facts(rows: list[Mapping[str, Any]]) -> list[list[str]]:
    """Each item's facts as words such as `categories=toys`."""
    attributes = [json.loads(row["attributes"]) for row in rows]
    found: list[list[str]] = [[] for _ in rows]
    for words, row in zip(found, rows, strict=True):
        words += [f"category={category}" for category in row["categories"]]
        words += [f"brand={row['brand']}"] if row["brand"] else []
        words += [f"tag={tag}" for tag in row.get("llm_tags") or []]
        words += [f"audience={row['llm_audience']}"] if row.get("llm_audience") else []
    columns = {"price": [row["price"] for row in rows]}
    for name in sorted({name for given in attributes for name in given}):
        columns[f"attribute {name}"] = [given.get(name) for given in attributes]
    for name, values in columns.items():
        for words, more in zip(found, _column(name, values), strict=True):
            words += more
    return found


def _column(name: str, values: list[Any]) -> Iterator[list[str]]:
    """The words of one field of every item: of a number the parts it lies in, of a text its listed values."""
    given = [value for value in values if value not in (None, "")]
    numbers = [number for value in given if (number := _number(value)) is not None]
    if given and len(numbers) == len(given):
        edges = {n: np.unique(np.quantile(numbers, np.linspace(0, 1, n + 1)[1:-1])) for n in _PARTS}
        for value in values:
            number = _number(value)
            if number is None:
                yield []
            else:
                yield [f"{name}~{n}:{np.searchsorted(edges[n], number, 'right')}" for n in _PARTS]
        return
    for value in values:
        yield [f"{name}={word}" for word in _SEPARATORS.split(str(value).lower()) if word] if value else []


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _codes(names: list[str]) -> list[list[str]]:
    """Words that ids near each other share: ranges of numbers, or prefixes where ids begin with none."""
    found = []
    for name in names:
        number = _NUMBER.match(name)
        if number:
            found.append([f"{width}:{int(number[0]) // width}" for width in _WIDTHS])
        else:
            found.append([name[:length] for length in _PREFIXES if length < len(name)])
    return found
