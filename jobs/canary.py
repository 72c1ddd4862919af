"""nightmill canary: plants a future, runs a night, and looks for it in everything the night wrote.

A copy of the source gets events, texts and users after ds that carry a mark, and a night after ds is
published from it. Every job is then run for ds, once behind that future and once without it. The night passes
when the mark is nowhere in its tables, generations, manifests and model inputs, when no row was made from an
event at or after its as_of, and when both runs published the same rows, value for value.
"""

import os
import secrets
import shutil
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.partitions import Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.chain import CHAIN, load_job
from jobs.llm.inputs import INPUTS
from jobs.llm.server import stop_server
from jobs.planting import plant, read_before, settings_of_copy
from jobs.step import execute
from jobs.traces import Trace, differences, marks_in, too_new

# What has been paid for is not paid for again: answers and vectors are the data root's own, new ones too.
PAID = ("generations", "vectors")
SHARED = (*PAID, "ledger", "engine")
# For people, about every published night: a page that shows later nights has read them, and no job reads it.
PAGES = ("report.html", "reports", "data_docs", "catalog.duckdb", "airflow", "locks", "engine")


@dataclass
class Verdict:
    """What a canary found, and how much it looked at."""

    ds: date
    folder: Path
    traces: list[Trace] = field(default_factory=list)
    files: int = 0
    partitions: int = 0
    rows: int = 0
    inputs: int = 0

    def __str__(self) -> str:
        looked = (
            f"{self.partitions} partitions with {self.rows:,} rows, {self.inputs:,} model inputs and "
            f"{self.files:,} files"
        )
        if not self.traces:
            return f"canary {self.ds}: no trace of the future in {looked}"
        found = "\n".join(f"  {trace}" for trace in self.traces)
        return (
            f"canary {self.ds}: {len(self.traces)} traces of the future in {looked}:\n{found}\n"
            f"both runs are kept in {self.folder}"
        )


def canary(ds: date, settings: Settings, chain: Sequence[str] = CHAIN, keep: bool = False) -> Verdict:
    """Run the canary for a night; its folder is removed at the end, unless there are traces or `keep` is set.

    chain: the jobs, in order. The night evaluate.horizon_days before ds runs too where the data begin early
    enough, so that a ranker has something to learn from and lists to be evaluated.
    """
    mark = "canary" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
    folder = settings.data_root / "scratch" / f"looking-{ds}-{secrets.token_hex(4)}"
    raw = read_before(settings, ds)
    first = pc.min(raw.events["event_time"]).as_py().date()
    nights = [n for n in (ds - timedelta(days=settings.evaluate.horizon_days), ds) if n >= first]
    roots = {}
    keep_folder = True
    try:
        for name, text in (("without", ""), ("with", mark)):
            source, root = folder / name / "source", folder / name / "data"
            plant(raw, settings, ds, text, source)
            roots[name] = settings_of_copy(raw, settings, source, root)
            root.mkdir()
        _link(settings.data_root, roots["without"].data_root)
        _run("without a future", nights, roots["without"], chain)
        _copy(settings.data_root, roots["with"].data_root)
        _run("the future", [ds + timedelta(days=1)], _free(roots["with"]), chain)
        before = set(_written(roots["with"].data_root))
        _run("behind that future", nights, roots["with"], chain)
        verdict = _examine(nights, mark, roots, before)
        keep_folder = keep or bool(verdict.traces)
    finally:
        if roots.get("with"):
            stop_server(roots["with"].data_root)
        if not keep_folder:
            shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _link(shared: Path, root: Path) -> None:
    """Let a data root share what was paid for: equal questions have equal answers, whoever asks."""
    for name in SHARED:
        (shared / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to((shared / name).absolute())


def _copy(shared: Path, root: Path) -> None:
    """Give a data root the answers there are by now; those it gets itself stay with it."""
    for name in PAID:
        shutil.copytree(shared / name, root / name, copy_function=os.link)


def _free(settings: Settings) -> Settings:
    """Settings that ask nobody: the future only has to be there."""
    generation = settings.generation.model_copy(update={"engine": "fake"})
    return settings.model_copy(update={"generation": generation})


def _run(which: str, nights: Sequence[date], settings: Settings, chain: Sequence[str]) -> None:
    for night in nights:
        for name in chain:
            print(f"canary, {which}: {name} for {night}", file=sys.stderr, flush=True)
            execute(load_job(name), night, settings)


def _written(root: Path) -> Iterator[Path]:
    """Every file with what jobs read, write or ask."""
    for folder, names, files in os.walk(root):
        if Path(folder) == root:
            names[:] = [name for name in names if name not in PAGES]
            files = [name for name in files if name not in PAGES]
        yield from (Path(folder) / name for name in files)


def _examine(nights: Sequence[date], mark: str, roots: dict[str, Settings], before: set[Path]) -> Verdict:
    root = roots["with"].data_root
    verdict = Verdict(nights[-1], folder=root.parent.parent)
    files = sorted(file for file in _written(root) if file not in before)
    verdict.traces += marks_in(files, mark, root)
    verdict.files = len(files)
    verdict.inputs = sum(len(file.read_text("utf-8").splitlines()) for file in files if INPUTS in file.parts)
    with_future, without = Store(root), Store(roots["without"].data_root)
    for night in nights:
        for table in TABLES:
            mine, other = with_future.published(table, night), without.published(table, night)
            if mine is None or other is None:
                continue
            verdict.partitions += 1
            verdict.rows += sum(pq.read_metadata(file).num_rows for file in mine.files)
            verdict.traces += [*too_new(mine), *differences(mine, other)]
    return verdict
