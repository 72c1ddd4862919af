"""The made shop of tastes: the same each time, everybody in it, and texts that tell of who takes what."""

from itertools import pairwise

import numpy as np

from feature_store.partitions import read
from infra.benchmarks.made_tastes import TABLES, Scale, partitions, tastes, vectors, write

SMALL = Scale(users=300, items=400, events=9000)


def test_everybody_has_an_event_and_a_few_have_most():
    made = tastes(SMALL)
    assert set(made.users) == set(range(SMALL.users))
    assert 0 <= made.items.min() <= made.items.max() < SMALL.items
    counts = np.sort(np.bincount(made.items, minlength=SMALL.items))
    assert counts[-100:].sum() > 0.4 * SMALL.events


def test_what_a_user_takes_is_near_in_text_to_what_else_the_user_takes():
    made = tastes(SMALL)
    matrix = vectors(made.topics)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-5)
    own = [matrix[made.items[made.users == user]] for user in range(50)]
    alike = np.mean([(one @ one.T).mean() for one in own])
    others = np.mean([(one @ other.T).mean() for one, other in pairwise(own)])
    assert alike > 3 * others


def test_the_tables_are_there_and_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, SMALL)
        found = partitions(tmp_path / name)
        rows = {table: read(table, found[table][0].files) for table in TABLES}
        assert rows["interactions"].num_rows == SMALL.events
        assert rows["item_embeddings"].num_rows == SMALL.items
        assert len(rows["item_embeddings"]["embedding"][0].as_py()) == 384
        assert rows["items"]["categories"] == rows["item_profiles"]["llm_tags"]
    files = [sorted((tmp_path / name).rglob("*.parquet")) for name in ("one", "two")]
    assert [a.read_bytes() for a in files[0]] == [b.read_bytes() for b in files[1]]
