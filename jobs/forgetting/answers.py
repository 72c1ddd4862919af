"""The model's answers about users, and what it was shown of them.

An answer is theirs by the user it was stored with, or by a row of theirs that names its key. Two users with
the same history are one question: an answer that others' rows name as well stays, and is nobody's any more.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.partitions import QUARANTINE, Store, sync, write_atomically
from feature_store.parts import DAMAGED
from feature_store.tables import TABLES
from jobs.forgetting.people import ABOUT_QUESTIONS, ABOUT_USERS, People, key_columns, user_column
from jobs.forgetting.summary import Summary
from jobs.llm.inputs import INPUTS

KEY, USER = "key", "user_id"


def forget_answers(store: Store, people: People, summary: Summary) -> None:
    """Remove the answers about them. Before their rows go, which name answers that nothing else does."""
    folders = [folder for folder in sorted(store.root.glob("generations/*")) if folder.is_dir()]
    for folder in folders:
        _clear(folder, summary)
    parts = [part for folder in folders for part in sorted(folder.glob("part-*.parquet"))]
    named = _keys_named(store, people)
    keys = named | {key for part in parts for key in _asked_about(part, people)}
    others = _keys_of_others(store, people, keys)
    for part in parts:
        _strike(part, people, keys, others, summary)


def _clear(folder: Path, summary: Summary) -> None:
    """Remove what nobody reads: damaged parts, of which nothing can be known, and what dead jobs staged."""
    for path in [*folder.glob(f"{DAMAGED}/*"), *folder.glob(".part-*")]:
        summary.clear("damaged or unfinished parts of answers")
        if not summary.dry_run:
            path.unlink(missing_ok=True)


def _asked_about(part: Path, people: People) -> list[str]:
    """The keys of the answers in a part that were stored with one of them; parts of old do not say."""
    columns = [name for name in (KEY, USER) if name in pq.read_schema(part).names]
    if USER not in columns:
        return []
    rows = pq.read_table(part, columns=columns, partitioning=None)
    found: list[str] = rows.filter(people.among(rows[USER]))[KEY].to_pylist()
    return found


def _keys_named(store: Store, people: People) -> set[str]:
    """The keys that their rows name in any run, published or not, refused rows included."""
    found: set[str] = set()
    for table, files in _runs(store):
        for file in files:
            try:
                rows, theirs = _read(table, file, people)
            except (pa.ArrowException, OSError):
                continue  # the run of a job that was killed: it goes as a whole
            found |= _keys(rows.filter(theirs))
    return found


def _keys_of_others(store: Store, people: People, keys: set[str]) -> set[str]:
    """Those of the keys that published rows of others name."""
    found: set[str] = set()
    for name, table in TABLES.items() if keys else ():
        for partition in store.partitions(name):
            files = partition.files if key_columns(table) and user_column(table) else []
            for file in [*files, *filter(None, [partition.quarantine])]:
                rows, theirs = _read(name, file, people)
                found |= _keys(rows.filter(pc.invert(theirs))) & keys
    return found


def _read(table: str, file: Path, people: People) -> tuple[pa.Table, pa.ChunkedArray]:
    """What rows of a run, or refused ones, say of users and answers, and which of them are theirs."""
    if file.name == QUARANTINE:
        columns = ["job", "entity_id", "raw", "generation_key"]
        rows = pq.read_table(file, columns=columns, partitioning=None)
        return rows, people.refused(rows)
    columns = [str(user_column(TABLES[table])), *key_columns(TABLES[table])]
    rows = pq.read_table(file, columns=columns, partitioning=None)
    return rows, people.rows(table, rows)


def _runs(store: Store) -> Iterator[tuple[str, list[Path]]]:
    """The files of every run that may name an answer about a user, by table."""
    for folder in sorted(store.tables.glob("*")):
        table = TABLES.get(folder.name)
        if table is None:
            continue
        files = sorted(folder.glob(f"ds=*/runs/*/{QUARANTINE}"))
        if key_columns(table) and user_column(table):
            files += sorted(folder.glob("ds=*/runs/*/part-*.parquet"))
        yield folder.name, files


def _keys(rows: pa.Table) -> set[str]:
    names = [name for name in rows.column_names if name.endswith("generation_key")]
    return {key for name in names for key in rows[name].to_pylist() if key}


def _strike(part: Path, people: People, keys: set[str], others: set[str], summary: Summary) -> None:
    """Put a part without the answers in place of it; one that is left without any goes."""
    wanted, shared = (pa.array(sorted(some), pa.string()) for some in (keys, others))
    found = pc.is_in(pq.read_table(part, columns=[KEY], partitioning=None)[KEY], value_set=wanted)
    if not pc.any(found).as_py():
        return
    with pq.ParquetFile(part) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    left, gone = [], 0
    for rows in groups:
        out = pc.and_not(pc.is_in(rows[KEY], value_set=wanted), pc.is_in(rows[KEY], value_set=shared))
        gone += int(pc.sum(out).as_py() or 0)
        left.append(_nobodys(rows.filter(pc.invert(out)), people))
    changed = any(not new.equals(old) for new, old in zip(left, groups, strict=True))
    summary.add("answers of the model", gone)
    if changed and not summary.dry_run:
        _put(part, left)


def _nobodys(rows: pa.Table, people: People) -> pa.Table:
    """Answers that stay, without the name of a user who was forgotten."""
    if USER not in rows.column_names:
        return rows
    position = rows.column_names.index(USER)
    column = pc.if_else(people.among(rows[USER]), pa.scalar(None, pa.string()), rows[USER])
    return rows.set_column(position, rows.schema.field(position), column)


def _put(part: Path, groups: list[pa.Table]) -> None:
    groups = [rows for rows in groups if rows.num_rows]
    if not groups:
        part.unlink()
    else:
        staged = part.with_name(f".{part.name}")
        with pq.ParquetWriter(staged, groups[0].schema, compression="zstd", write_page_checksum=True) as file:
            for rows in groups:
                file.write_table(rows, row_group_size=rows.num_rows)
        sync(staged)
        os.replace(staged, part)
    sync(part.parent)


def forget_inputs(store: Store, people: People, summary: Summary) -> None:
    """Remove from the records of what models were shown (generation.record_inputs) what is about them."""
    for path in sorted((store.root / INPUTS).glob("*.jsonl")):
        job = next((name for name in (ABOUT_USERS, ABOUT_QUESTIONS) if path.name.startswith(f"{name}-")), "")
        lines = path.read_text("utf-8").splitlines(keepends=True) if job else []
        kept = [line for line in lines if not _is_about(line, job, people)]
        summary.add("recorded inputs of the model", len(lines) - len(kept))
        if len(kept) < len(lines) and not summary.dry_run:
            write_atomically(path, "".join(kept))


def _is_about(line: str, job: str, people: People) -> bool:
    try:
        return people.asked(job, json.loads(line)["entity_id"])
    except (ValueError, KeyError, TypeError):
        return True  # cut short when its job was killed: it may be


def forget_scratch(store: Store, summary: Summary) -> None:
    """Remove what jobs that were cut short would go on from: no job is at work."""
    for path in sorted(store.root.glob("scratch/*")):
        summary.clear("unfinished work of jobs that were cut short")
        if not summary.dry_run:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
