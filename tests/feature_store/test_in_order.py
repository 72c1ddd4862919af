import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store import in_order
from feature_store.errors import NightmillError
from feature_store.in_order import UsersInOrder


@pytest.fixture
def table(tmp_path):
    def write(*files):
        paths = []
        for number, rows in enumerate(files):
            path = tmp_path / f"part-{number:05d}.parquet"
            columns = {"user_id": [user for user, _ in rows], "score": [float(score) for _, score in rows]}
            pq.write_table(pa.table(columns), path, row_group_size=2)
            paths.append(path)
        return UsersInOrder("candidates", paths, ["score", "als_score"])

    return write


def scores(rows):
    return list(zip(rows["user_id"].to_pylist(), rows["score"].to_pylist(), strict=True))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_blocks_come_whole_whatever_the_files_and_batches(batch, table, monkeypatch):
    monkeypatch.setattr(in_order, "_BATCH", batch)
    rows = table([("a", 1), ("b", 2), ("b", 3)], [("b", 4), ("d", 5)], [("e", 6), ("f", 7)])
    assert scores(rows.between("a", "b")) == [("a", 1), ("b", 2), ("b", 3), ("b", 4)]
    assert scores(rows.between("c", "c")) == []
    assert scores(rows.between("e", "e")) == [("e", 6)]  # d was never asked for
    assert scores(rows.between("f", "z")) == [("f", 7)]
    assert scores(rows.between("zz", "zzz")) == []


def test_a_column_that_came_later_is_null(table):
    assert table([("a", 1)]).between("a", "a")["als_score"].to_pylist() == [None]


def test_without_files_there_is_nothing(table):
    assert table().between("a", "z").num_rows == 0


def test_rows_out_of_order_are_noticed(table):
    rows = table([("b", 1), ("a", 2), ("c", 3)])
    with pytest.raises(NightmillError, match=r"candidates is not in order of user_id: run `nightmill fit"):
        rows.between("a", "a")
