"""recommend: candidates, scored by the night's ranker -> the best items of every active user.

Users are done in blocks, so that memory does not grow with them, and a run that was cut short goes on behind
its finished blocks. Without a ranker the merged recall score orders the lists. A list that is shorter than
recommend.top is filled from what is trending, then from the rest of the catalogue; it stays short only where
nothing is left that may be shown.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.tables import TABLES
from jobs import scoring_rows
from jobs.deny_list import read_deny_list
from jobs.finished_blocks import FinishedBlocks, forget
from jobs.list_maker import ListMaker
from jobs.night import Night
from jobs.publish import code_version, digest
from jobs.recommender.history import COLUMNS, encode
from jobs.recommender.ranker import Scorer
from jobs.step import Input, Job

# Users whose candidates are in memory at once.
_USERS = 1024
_SECTIONS = ("activity", "recall", "recommend")
_TABLE = "recommendations"


def run(night: Night) -> None:
    """Make the lists block by block and stage recommendations."""
    (ranker,) = night.read("rankers").to_pylist()
    scorer = _scorer(night, ranker)
    history = encode(
        night.read("interactions", COLUMNS), night.read("items", ["item_id"])["item_id"], night.as_of
    )
    maker = ListMaker(night, history, scorer)
    users = history.active(night.settings.activity.days)
    same = _versions(night, ranker, scorer) | {"input_max_event_time": history.newest}
    blocks = FinishedBlocks(night.store.root, _folder(night.ds), _key(night))

    def made() -> Iterator[pa.Table]:
        with night.progress(len(users), "recommend", "user") as progress:
            for number, start in enumerate(range(0, len(users), _USERS)):
                block = users[start : start + _USERS]
                yield blocks.get(number, partial(maker.lists, block))
                progress.update(len(block))

    listed = _write(night, made(), same)
    night.count(selected=listed)
    if maker.filled:
        night.note(f"recommend: {maker.filled:,} places of short lists were filled from what is trending")
    if blocks.reused:
        night.note(f"recommend: {blocks.reused:,} blocks of users were finished by a run that was cut short")


def _scorer(night: Night, ranker: dict[str, Any]) -> Scorer | None:
    """The ranker of the night, None where recall scores have to do."""
    if ranker["status"] == "fallback":
        night.note(f"recommend: {ranker['reason']}")
        return None
    scorer = Scorer.stored(ranker, f"the ranker of {night.ds}")
    scorer.require(scoring_rows.published())
    return scorer


def _versions(night: Night, ranker: dict[str, Any], scorer: Scorer | None) -> dict[str, Any]:
    """What made the lists, the same in every row."""
    joined = [(i.table, p.fingerprint) for i in scoring_rows.INPUTS for p in night.inputs[i.table]]
    return {
        "stage": "candidates" if scorer is None else "ranker",
        "ranker_ds": None if scorer is None else ranker["trained_ds"],
        "ranker_version": "" if scorer is None else digest(ranker["model_text"])[:12],
        "features_version": digest(joined)[:12],
    }


def _write(night: Night, blocks: Iterator[pa.Table], same: dict[str, Any]) -> int:
    """Stage the blocks as one file, in key order as they come; returns how many users have a list."""
    schema = pa.schema([field.with_nullable(True) for field in TABLES[_TABLE].schema])
    written = users = 0
    with pq.ParquetWriter(night.stage(_TABLE) / "part-00000.parquet", schema, compression="zstd") as file:
        for rows in blocks:
            for name, value in same.items():
                constant = pa.scalar(value, schema.field(name).type)
                rows = rows.append_column(name, pa.repeat(constant, rows.num_rows))
            file.write_table(night.conform(_TABLE, rows))
            written += rows.num_rows
            users += len(pc.unique(rows["user_id"]))
    night.wrote(_TABLE, written)
    return users


def _folder(ds: date) -> str:
    return f"recommend-{ds}"


def _key(night: Night) -> str:
    """Hash of everything the blocks depend on."""
    return digest(
        {
            "code": code_version(),
            "users": _USERS,
            "inputs": {name: [(p.ds, p.fingerprint) for p in parts] for name, parts in night.inputs.items()},
            "settings": {name: getattr(night.settings, name).model_dump(mode="json") for name in _SECTIONS},
            "deny_list": _denied(night.settings),
        }
    )[:16]


def _denied(settings: Settings) -> tuple[str, ...]:
    return read_deny_list(settings.recommend.deny_file)


def _forget_blocks(store: Store, ds: date, settings: Settings) -> None:
    """Everything is published: blocks are no longer needed."""
    forget(store.root, _folder(ds))


JOB = Job(
    name="recommend",
    summary="candidates and ranker -> the best items of every active user",
    inputs=(Input("interactions"), Input("items"), Input("rankers"), *scoring_rows.INPUTS),
    outputs=(_TABLE,),
    run=run,
    settings=_SECTIONS,
    fingerprint=_denied,
    after=_forget_blocks,
)
