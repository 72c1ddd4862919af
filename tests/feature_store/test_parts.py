"""Folders of parts: damage is named and set aside, and what others remove meanwhile is not missed."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store import parts
from feature_store.errors import NightmillError
from feature_store.parts import add_part, find_rows, list_parts, set_aside_damaged

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), False),
        pa.field("text", pa.string(), False),
        pa.field("later", pa.int64(), True),
    ]
)


def rows(*keys: str) -> pa.Table:
    return pa.table(
        {"key": keys, "text": [f"text of {key}" for key in keys], "later": [1] * len(keys)}, SCHEMA
    )


def found(folder: Path, *keys: str) -> list[str]:
    return sorted(
        key
        for table in find_rows(folder, SCHEMA, ["key", "text"], set(keys))
        for key in table["key"].to_pylist()
    )


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-30])


def empty(part: Path) -> None:
    part.write_bytes(b"")


def garbage(part: Path) -> None:
    part.write_bytes(b"PAR1" + bytes(range(256)) * 4 + b"PAR1")


def flip_a_bit_of_the_text(part: Path) -> None:
    raw = bytearray(part.read_bytes())
    column = pq.read_metadata(part).row_group(0).column(1)
    raw[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    part.write_bytes(raw)


def another_schema(part: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), part)


def another_name(part: Path) -> None:
    """A flipped bit in the footer, which has no checksum."""
    part.write_bytes(part.read_bytes().replace(b"later", b"lateR"))


def another_type(part: Path) -> None:
    pq.write_table(pa.table({"key": ["a"], "text": [7]}), part)


def nulls(part: Path) -> None:
    pq.write_table(pa.table({"key": ["b"], "text": pa.nulls(1, pa.string())}), part)


DAMAGE = [truncate, empty, garbage, flip_a_bit_of_the_text, another_schema, another_name, another_type, nulls]
Damage = Callable[[Path], None]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_parts_are_named_and_set_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Damage
) -> None:
    hurt = [add_part(tmp_path, rows("b", "c")), add_part(tmp_path, rows("b"))]
    whole = add_part(tmp_path, rows("a"))
    for part in hurt:
        damage(part)
    assert found(tmp_path, "a", "b", "c") == ["a"]
    said = capfd.readouterr().err
    assert all(f"{part} is damaged" in said for part in hurt)
    assert said.count("\n") == 2
    assert {path.name for path in (tmp_path / "damaged").iterdir()} == {part.name for part in hurt}
    assert list_parts(tmp_path) == [whole]
    assert found(tmp_path, "a", "b", "c") == ["a"]
    assert capfd.readouterr().err == ""


def test_all_parts_can_be_checked_at_once(tmp_path: Path) -> None:
    part = add_part(tmp_path, rows("b"))
    add_part(tmp_path, rows("a"))
    assert not set_aside_damaged([tmp_path], SCHEMA)
    flip_a_bit_of_the_text(part)
    assert set_aside_damaged([tmp_path], SCHEMA)
    assert found(tmp_path, "a", "b") == ["a"]


def test_a_part_that_cannot_be_set_aside_says_what_to_do(tmp_path: Path) -> None:
    empty(add_part(tmp_path, rows("b")))
    (tmp_path / "damaged").write_text("in the way")
    with pytest.raises(NightmillError, match=r"is damaged .* and cannot be set aside .*: move it to "):
        found(tmp_path, "b")


def test_an_error_of_the_machine_damages_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    part = add_part(tmp_path, rows("b"))
    monkeypatch.setattr(pq, "ParquetFile", too_many)
    with pytest.raises(OSError, match="Too many open files"):
        found(tmp_path, "b")
    assert part.exists()


def test_a_part_that_goes_after_it_was_listed_is_read_where_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_part(tmp_path, rows("a"))
    going = add_part(tmp_path, rows("b"))
    read_part = parts.read_part

    def while_it_is_merged(part: Path, *rest: object) -> list[pa.Table]:
        if going.exists():
            add_part(tmp_path, rows("a", "b"))
            going.unlink()
        return read_part(part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "read_part", while_it_is_merged)
    assert set(found(tmp_path, "a", "b")) == {"a", "b"}


def test_a_new_folder_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(parts, "sync", synced.append)
    folder = tmp_path / "new"
    part = add_part(folder, rows("a"))
    assert synced == [tmp_path, folder / f".{part.name}", folder]


@pytest.mark.parametrize("record", ["", "{}", "[]", "\\x00"])
def test_a_damaged_record_of_a_compaction_hides_no_part(tmp_path: Path, record: str) -> None:
    part = add_part(tmp_path, rows("a"))
    (tmp_path / parts.MERGED).write_text(record)
    assert list_parts(tmp_path) == [part]


def _find(folder: Path, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait(60)
    os._exit(0 if found(folder, "a", "b") == ["a"] else 1)


def test_two_processes_that_meet_damage_both_go_on(tmp_path: Path) -> None:
    for _ in range(20):
        empty(add_part(tmp_path, rows("b")))
    add_part(tmp_path, rows("a"))
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_find, args=(tmp_path, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list((tmp_path / "damaged").iterdir())) == 20
