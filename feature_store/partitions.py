"""Immutable runs, one small pointer a partition: what is published, and how a reader finds it.

    <data>/tables/<table>/ds=YYYY-MM-DD/published.json                 the pointer
    <data>/tables/<table>/ds=YYYY-MM-DD/runs/<run_id>/part-*.parquet   the rows
    <data>/tables/<table>/ds=YYYY-MM-DD/runs/<run_id>/quarantine.parquet
    <data>/tables/<table>/ds=YYYY-MM-DD/runs/<run_id>/manifest.json

A run is invisible until the pointer names it, and replacing the pointer is one atomic rename. The pointer
repeats the fingerprint of the run's manifest: a job over thousands of days opens one small file for each.
"""

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_store.errors import NightmillError
from feature_store.leases import lease
from feature_store.locks import alone, in_company, locked, locked_if_free
from feature_store.tables import TABLES

POINTER = "published.json"
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"
# A disk makes many writes durable in about the time of one; what takes time is to wait for each.
SYNC_THREADS = 16


@dataclass(frozen=True)
class Partition:
    """A published run of one table for one ds; `recorded` is the fingerprint its pointer repeats."""

    table: str
    ds: date
    run_id: str
    path: Path
    recorded: str = field(default="", compare=False)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest written beside the rows."""
        manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text("utf-8"))
        return manifest

    @property
    def fingerprint(self) -> str:
        """Hash of everything the rows were made from."""
        return self.recorded or str(self.manifest["fingerprint"])

    @property
    def finished_at(self) -> datetime:
        """When the run was ready to be published."""
        return datetime.fromisoformat(self.manifest["finished_at"])

    @property
    def files(self) -> list[Path]:
        """The Parquet files with the rows."""
        return sorted(self.path.glob("part-*.parquet"))

    @property
    def quarantine(self) -> Path | None:
        """The Parquet file with the rows that were refused, if any were."""
        path = self.path / QUARANTINE
        return path if path.exists() else None


class Store:
    """The published partitions under one data root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables = root / "tables"
        self.leases = root / "leases"

    def folder(self, table: str, ds: date) -> Path:
        """The folder of a partition, published or not."""
        return self.tables / table / f"ds={ds.isoformat()}"

    def run_folder(self, table: str, ds: date, run_id: str) -> Path:
        """The folder of one run of a partition."""
        return self.folder(table, ds) / "runs" / run_id

    def published(self, table: str, ds: date) -> Partition | None:
        """The published run of a partition, or None."""
        return self.published_here(table, ds)

    def published_here(self, table: str, ds: date) -> Partition | None:
        """The run the data root's own pointer names, or None."""
        pointer = self.folder(table, ds) / POINTER
        try:
            named = json.loads(pointer.read_text("utf-8"))
            run_id, recorded = named["run_id"], named.get("fingerprint", "")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NightmillError(f"{pointer} is damaged ({error}); remove it and run the job again") from None
        return Partition(table, ds, run_id, self.run_folder(table, ds, run_id), recorded)

    def partitions(self, table: str, until: date | None = None) -> list[Partition]:
        """The published partitions of a table with ds <= until, oldest first."""
        try:
            names = os.listdir(self.tables / table)
        except FileNotFoundError:
            return []
        days = sorted(date.fromisoformat(name[3:]) for name in names if name.startswith("ds="))
        found = (self.published_here(table, day) for day in days if until is None or day <= until)
        return [partition for partition in found if partition is not None]

    def publish(self, table: str, ds: date, run_id: str) -> None:
        """Point the partition at a run whose files are complete."""
        run = Partition(table, ds, run_id, self.run_folder(table, ds, run_id))
        for file in run.path.iterdir():
            sync(file)
        sync(run.path)
        write_atomically(self.folder(table, ds) / POINTER, self.pointer_to(run))

    def pointer_to(self, run: Partition) -> str:
        """What the pointer says that names a run."""
        return json.dumps({"run_id": run.run_id, "fingerprint": run.fingerprint})

    def withdraw(self, table: str, ds: date) -> None:
        """Remove the pointer of a partition; its files stay."""
        folder = self.folder(table, ds)
        (folder / POINTER).unlink(missing_ok=True)
        sync(folder)

    def publish_all(self, runs: Iterable[tuple[str, date, str]]) -> None:
        """Publish several runs (table, ds, run_id), each by itself; the disk's waits overlap."""
        with ThreadPoolExecutor(SYNC_THREADS) as pool:
            for _ in pool.map(lambda run: self.publish(*run), runs):
                pass

    def lock(self, name: str, who: str = "") -> AbstractContextManager[None]:
        """Hold a named lock; where it is taken, `who` says on stderr whom it waits for."""
        return locked(self.root / "locks" / f"{name}.lock", who)

    def lock_if_free(self, name: str) -> AbstractContextManager[bool]:
        """Hold a named lock if nobody else does; the block gets to know whether it is held."""
        return locked_if_free(self.root / "locks" / f"{name}.lock")

    def in_company(self, who: str) -> AbstractContextManager[None]:
        """Work beside others, but not while somebody is `alone` here (`nightmill forget`)."""
        return in_company(self.root / "locks", who)

    def alone(self, who: str) -> AbstractContextManager[None]:
        """Work while no job does; waits for those at work, and lets those that come later wait."""
        return alone(self.root / "locks", who)

    def read_shared(self, name: str) -> list[str]:
        """A small text of the data root that all machines share; nothing where nobody wrote it."""
        path = self.root / name
        return [path.read_text("utf-8")] if path.exists() else []

    def write_shared(self, name: str, text: str) -> None:
        """Write a small text for all machines that share what is published here."""
        write_atomically(self.root / name, text)

    def lease(self) -> AbstractContextManager[int]:
        """Keep what is published now from garbage collection; yields the moment from which on it does."""
        return lease(self.leases)


def read(table: str, files: list[Path], columns: list[str] | None = None) -> pa.Table:
    """Read Parquet files of one table into Arrow, an empty table of its schema when there are none.

    A column that came into the contract after a file was published is null there; NightmillError where it may
    not be.
    """
    schema = TABLES[table].schema
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    if not files:
        return schema.empty_table()
    rows = read_leniently(schema, files)
    for column in schema:
        if not column.nullable and rows[column.name].null_count:
            older = next(file for file in files if read_leniently(schema, [file])[column.name].null_count)
            raise NightmillError(
                f"{older} was published by an older Nightmill, without {column.name} in every row: "
                f"run `nightmill {TABLES[table].job} --ds D --reprocess` for its ds"
            )
    return rows.cast(schema)


def read_leniently(schema: pa.Schema, files: list[Path]) -> pa.Table:
    """Read Parquet files in their order; what a file lacks is null, whatever the schema says of nulls."""
    # Imported here, for it imports pandas, and a night without news reads nothing.
    from pyarrow import dataset

    lenient = pa.schema([field.with_nullable(True) for field in schema])
    # Thousands of small files are read three times as fast as one by one.
    return dataset.dataset([str(file) for file in files], lenient, format="parquet").to_table()


def sync(path: Path) -> None:
    """Make sure a file has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace a small file so that a reader sees the old text or the new, never a part; mode as in open()."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.touch(mode)  # before there is anything in it to be read
    staged.write_text(text, "utf-8")
    sync(staged)
    os.replace(staged, path)
    sync(path.parent)
