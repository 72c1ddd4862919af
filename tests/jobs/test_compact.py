"""compact: fewer parts, the same rows, whatever else happens."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.contract import GENERATIONS_SCHEMA, TEXTS
from feature_store.errors import NightmillError
from feature_store.partitions import Store
from feature_store.parts import add_part, list_parts
from jobs import cli, compact
from jobs.llm.generations import Generations
from jobs.llm.vectors import Vectors
from jobs.sql import query

from ..feature_store.test_parts import flip_a_bit_of_the_text, truncate

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def generations(*rows: tuple[str, str], at: datetime = NOON) -> pa.Table:
    """Rows with these keys and texts."""
    empty: dict[str, Any] = {"string": "", "double": 0.0, "int64": 0, str(TEXTS): []}
    blank = {field.name: empty.get(str(field.type)) for field in GENERATIONS_SCHEMA}
    blank |= {"created_at": at, "choice_probabilities": None}
    return pa.Table.from_pylist(
        [blank | {"key": key, "text": text} for key, text in rows], GENERATIONS_SCHEMA
    )


def another_rows(part: Path) -> None:
    pq.write_table(generations(*((key, "1") for key in "abccx")), part)


def texts(root: Path, *keys: str) -> dict[str, str]:
    return {key: g.text for key, g in Generations(root).find("ask", keys).items()}


def stored(root: Path) -> list[dict[str, object]]:
    """Every row there is, twice where it is there twice."""
    parts = list_parts(root / "generations" / "ask")
    rows = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["key"], row["created_at"], row["text"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small parts, one of them older than today's schema, in which key c was answered twice."""
    folder = tmp_path / "generations" / "ask"
    old = add_part(folder, generations(("d", "4"), ("a", "1")))
    pq.write_table(pq.read_table(old).select(GENERATIONS_SCHEMA.names[:14]), old)
    add_part(folder, generations(("c", "3"), ("b", "2")))
    add_part(folder, generations(("c", "later"), at=NOON.replace(hour=13)))
    return folder


def test_small_parts_become_one_sorted_part_with_every_row(tmp_path: Path, folder: Path) -> None:
    before = stored(tmp_path)
    summary = compact.compact(Store(tmp_path))
    assert (summary.sources, summary.merged, summary.rows, summary.repeated) == (3, 1, 5, 0)
    (part,) = list_parts(folder)
    rows = pq.read_table(part)
    assert rows.schema.equals(GENERATIONS_SCHEMA)
    assert rows["key"].to_pylist() == ["a", "b", "c", "c", "d"]
    assert stored(tmp_path) == [dict.fromkeys(GENERATIONS_SCHEMA.names) | row for row in before]
    assert texts(tmp_path, *"abcde") == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert query(Store(tmp_path), "SELECT count(*) n FROM generations", "csv") == "n\n5"
    assert str(compact.compact(Store(tmp_path))) == "nothing to compact"


def test_an_empty_data_root_has_nothing_to_compact(tmp_path: Path) -> None:
    assert str(compact.compact(Store(tmp_path))) == "nothing to compact"


def test_the_command_says_what_it_did(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    cli.run(["compact"])
    cli.run(["compact"])
    said = capsys.readouterr()
    assert said.out.startswith("compacted 3 parts into 1 in ")
    assert said.out.endswith(" s: 5 rows\nnothing to compact\n")
    assert "compact: 3/3 parts" in said.err


def test_rows_that_a_dead_compaction_left_twice_are_dropped(tmp_path: Path, folder: Path) -> None:
    first = list_parts(folder)[1]
    (folder / "part-again.parquet").write_bytes(first.read_bytes())
    assert compact.compact(Store(tmp_path)).repeated == 2
    assert [row["text"] for row in stored(tmp_path)] == ["1", "2", "3", "later", "4"]


def test_large_parts_are_left_alone(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = add_part(folder, generations(*((f"k{n}", f"{n}" * 100) for n in range(100))))
    monkeypatch.setattr(compact, "BATCH_BYTES", 2 * (compact._uncompressed(large) or 0))
    compact.compact(Store(tmp_path))
    assert large in list_parts(folder)
    assert len(list_parts(folder)) == 2


def test_a_batch_is_no_larger_than_it_may_be(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = add_part(folder, generations(*((f"k{n}", "x") for n in range(10))))
    monkeypatch.setattr(compact, "BATCH_BYTES", 3 * (compact._uncompressed(part) or 0))
    for n in range(8):
        add_part(folder, generations(*((f"k{n}{m}", "x") for m in range(10))))
    before = stored(tmp_path)
    assert compact.compact(Store(tmp_path)).merged > 2
    assert [row["key"] for row in stored(tmp_path)] == [row["key"] for row in before]


def test_a_damaged_source_is_set_aside_and_the_others_are_merged(tmp_path: Path, folder: Path) -> None:
    hurt = list_parts(folder)[0]
    hurt.write_bytes(b"")
    compact.compact(Store(tmp_path))
    assert (folder / "damaged" / hurt.name).exists()
    assert texts(tmp_path, *"abcd") == {"b": "2", "c": "3"}


@pytest.mark.parametrize("damage", [flip_a_bit_of_the_text, truncate, another_rows])
def test_nothing_is_removed_when_what_was_written_cannot_be_read_back(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    write = compact._write

    def badly(rows: pa.Table, staged: Path) -> None:
        write(rows, staged)
        damage(staged)

    before = sorted(folder.iterdir())
    monkeypatch.setattr(compact, "_write", badly)
    with pytest.raises(NightmillError, match="cannot be read back and nothing was removed"):
        compact.compact(Store(tmp_path))
    assert sorted(folder.iterdir()) == before


def test_vectors_are_merged_and_the_same_one_counts_as_before(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, "mini", "1", 256)
    rng = np.random.default_rng(1)
    for n in range(6):
        vectors.add({key: rng.normal(size=4).astype(np.float32) for key in ("a", "b", f"c{n}")})
    wanted = ["a", "b", *(f"c{n}" for n in range(6))]
    before = vectors.find(wanted)
    assert compact.compact(Store(tmp_path)).repeated == 10
    assert len(list_parts(vectors.folder)) == 1
    assert {k: v.tolist() for k, v in vectors.find(wanted).items()} == {
        k: v.tolist() for k, v in before.items()
    }


# -- killed --------------------------------------------------------------------------------------


def killed_at(root: Path, deadly: int) -> bool:
    """Whether a compaction died at its n-th step that touches the disk, or was done before."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code != 0
    try:
        steps = iter(range(1, 10_000))
        for place, name in [
            (compact, "_write"),
            (compact, "_verify"),
            (compact, "sync"),
            (compact, "write_atomically"),
            (os, "replace"),
            (Path, "unlink"),
        ]:
            setattr(place, name, _deadly(getattr(place, name), steps, deadly))
        setattr(compact, "rewrite", lambda store: None)  # noqa: B010
        compact.compact(Store(root))
        os._exit(0)
    finally:
        os._exit(1)


def _deadly(real: Callable[..., Any], steps: Iterator[int], deadly: int) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        if next(steps) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return step


@pytest.mark.parametrize("again", [0, 3, 7])
def test_a_compaction_killed_anywhere_loses_nothing_and_the_next_one_tidies_up(
    tmp_path: Path, again: int
) -> None:
    steps, killed = 0, True
    while killed:
        steps += 1
        root = tmp_path / str(steps)
        folder = root / "generations" / "ask"
        for n in range(3):
            add_part(folder, generations((f"a{n}", "1"), (f"b{n}", "2")))
        before = stored(root)
        killed = killed_at(root, steps)
        # Killed again on its way to recovery, it loses no more.
        killed_at(root, again)
        rows = stored(root)
        assert [row for n, row in enumerate(rows) if row not in rows[:n]] == before
        compact.compact(Store(root))
        assert stored(root) == before
        assert len(list_parts(folder)) == 1
        assert {path.name for path in folder.iterdir()} == {list_parts(folder)[0].name, ".merged.json"}
    assert steps > 12


def test_a_merged_part_counts_once_from_the_moment_it_is_in_place(tmp_path: Path) -> None:
    """As long as its sources are not removed they are not listed."""
    for steps in range(1, 30):
        root = tmp_path / str(steps)
        for n in range(3):
            add_part(root / "generations" / "ask", generations((f"a{n}", "1")))
        killed_at(root, steps)
        in_place = len(list((root / "generations" / "ask").glob("part-*.parquet"))) == 4
        recorded = not (root / "generations" / "ask" / compact.MERGING).exists()
        assert len(stored(root)) == (6 if in_place and not recorded else 3)


def test_a_large_merged_part_is_merged_with_the_sources_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "generations" / "ask"
    for n in range(3):
        add_part(folder, generations((f"a{n}", "1")))
    before = stored(tmp_path)
    monkeypatch.setattr(compact, "BATCH_BYTES", 10**9)
    steps = 1
    while len(list(folder.glob("part-*.parquet"))) != 4:
        killed_at(tmp_path, steps)
        steps += 1
    monkeypatch.setattr(compact, "BATCH_BYTES", 1)
    compact.compact(Store(tmp_path))
    assert stored(tmp_path) == before
    assert len(list_parts(folder)) == 1


# -- at the same time ----------------------------------------------------------------------------


def _add(root: Path, who: int, stop: int) -> None:
    for n in range(stop):
        add_part(root / "generations" / "ask", generations((f"{who}-{n}", f"text {who}-{n}")))


def _compact_until(root: Path, stop: "multiprocessing.synchronize.Event") -> None:
    setattr(compact, "rewrite", lambda store: None)  # noqa: B010
    while not stop.is_set():
        compact.compact(Store(root))


def test_find_never_misses_a_row_while_others_add_and_compact(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    compactors = [context.Process(target=_compact_until, args=(tmp_path, stop)) for _ in range(2)]
    shards = [context.Process(target=_add, args=(tmp_path, who, 60)) for who in range(2)]
    mine = {f"mine-{n}": f"text {n}" for n in range(40)}
    for key, text in mine.items():
        add_part(tmp_path / "generations" / "ask", generations((key, text)))
    for process in (*compactors, *shards):
        process.start()
    try:
        rounds = 0
        while any(shard.is_alive() for shard in shards) or rounds < 20:
            assert texts(tmp_path, *mine) == mine
            rounds += 1
    finally:
        stop.set()
        for process in (*compactors, *shards):
            process.join(120)
    assert {process.exitcode for process in (*compactors, *shards)} == {0}
    compact.compact(Store(tmp_path))
    keys = [f"{who}-{n}" for who in range(2) for n in range(60)]
    assert len(texts(tmp_path, *keys)) == 120
    assert len(stored(tmp_path)) == 160
