import pyarrow as pa
import pytest

from jobs.finished_blocks import FinishedBlocks, forget

ROWS = pa.table({"n": [1, 2]})


def never():
    raise AssertionError("made again")


def test_a_finished_block_is_not_made_again_but_for_another_key(tmp_path):
    FinishedBlocks(tmp_path, "work", "one").get(0, lambda: ROWS)
    again = FinishedBlocks(tmp_path, "work", "one")
    assert again.get(0, never).equals(ROWS)
    assert again.reused == 1
    other = FinishedBlocks(tmp_path, "work", "other")
    assert other.get(0, lambda: ROWS.slice(1))["n"].to_pylist() == [2]
    assert other.reused == 0


def test_a_block_that_cannot_be_read_is_made_again(tmp_path):
    blocks = FinishedBlocks(tmp_path, "work", "one")
    blocks.get(0, lambda: ROWS)
    blocks.path(0).write_bytes(b"PAR1 cut off")
    assert blocks.get(0, lambda: ROWS).equals(ROWS)
    assert blocks.reused == 0


def test_what_was_interrupted_while_it_was_made_is_not_there(tmp_path):
    blocks = FinishedBlocks(tmp_path, "work", "one")
    with pytest.raises(AssertionError):
        blocks.get(3, never)
    assert not blocks.path(3).exists()


def test_forgetting_takes_every_key(tmp_path):
    for key in ("one", "two"):
        FinishedBlocks(tmp_path, "work", key).get(0, lambda: ROWS)
    forget(tmp_path, "work")
    forget(tmp_path, "work")
    assert not (tmp_path / "scratch" / "work").exists()
