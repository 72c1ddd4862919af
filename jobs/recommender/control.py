"""The cheap control of an ablation: TF-IDF of the source's texts in place of what a model made of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recommender.queries import Queries

COLUMNS = ("tfidf_similarity", "tfidf_similarity_last", "tfidf_similarity_top3")


def with_control(found: Queries, texts: Mapping[str, str], recent: Sequence[tuple[str, ...]]) -> Queries:
    """The queries with COLUMNS: what the embeddings' features are, over TF-IDF vectors of the texts.

    recent: of each query, the user's last items, oldest first. Null where an item has no text, or none of
    them has.
    """
    ids = {item: place for place, item in enumerate(texts)}
    vectors = tfidf_vectors(list(texts.values()))
    rows = np.full((found.rows.num_rows, len(COLUMNS)), np.nan)
    items = found.rows["item_id"].to_pylist()
    for start, size, last in zip(found.starts, found.sizes, recent, strict=True):
        known = [ids[item] for item in last if item in ids]
        block = slice(start, start + size)
        places = np.array([ids.get(item, -1) for item in items[block]])
        if known and (places >= 0).any():
            cosines = (vectors[np.maximum(places, 0)] @ vectors[known].T).toarray()
            rows[block] = np.where(places[:, None] >= 0, _summaries(cosines, vectors[known]), np.nan)
    columns = {name: pa.array(rows[:, n], from_pandas=True) for n, name in enumerate(COLUMNS)}
    table = found.rows
    for name, column in columns.items():
        table = table.append_column(name, column)
    return found.with_rows(table)


def tfidf_vectors(texts: list[str]) -> csr_matrix:
    """TF-IDF vectors of length one, zero for a text without words: shape (texts, words)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(any(character.isalnum() for character in text) for text in texts):
        return csr_matrix((len(texts), 1), dtype=np.float64)
    return TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+").fit_transform(texts).tocsr()


def _summaries(cosines: NDArray[np.float64], recent: csr_matrix) -> NDArray[np.float64]:
    """Cosine to the mean of the recent vectors, to the last, and the mean of the three largest."""
    mean = np.asarray(recent.mean(axis=0)).ravel()
    length = float(np.linalg.norm(mean)) or 1.0
    top = np.sort(cosines, axis=1)[:, -3:].mean(axis=1)
    return np.column_stack([cosines.mean(axis=1) / length, cosines[:, -1], top]).round(6)
