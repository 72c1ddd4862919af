"""The data sets of `nightmill bench quality`: where they are, and which settings read them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feature_store.errors import UsageError
from feature_store.settings import REPOSITORY
from infra.benchmarks.detected_source import detect

BUILT_IN = "movielens-100k"  # in the cache after `nightmill prepare`; default.toml describes it
NAMED = ("online_retail", "ml_latest_small")
# Public sets lie beside the repository, not in it: their licences are their own.
PLACE = REPOSITORY.parent / "shared" / "data"


@dataclass(frozen=True)
class Set:
    """A data set: environ holds the settings that read it, notes what was found out about it."""

    name: str
    environ: Mapping[str, str]
    notes: list[str] = field(default_factory=list)


def choose(data: Path | None, sets: str, scratch: Path, place: Path = PLACE) -> list[Set]:
    """The sets to measure, in order.

    data: a folder with interactions.parquet is one set; one with such folders is as many, and the place of
    those that `sets` names. UsageError names what is not there and how to give it.
    """
    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data} is not a folder")
    if data is not None and (data / "interactions.parquet").exists():
        return [_detected(data.resolve(), scratch)]
    place = data or place
    here = sorted(path.parent.name for path in place.glob("*/interactions.parquet"))
    if data is not None and not here:
        raise UsageError(f"--data {data} holds no interactions.parquet, nor folders that do")
    wanted = [name.strip() for name in sets.split(",") if name.strip()]
    wanted = wanted or (here if data is not None else [BUILT_IN, *NAMED])
    if absent := [name for name in wanted if name != BUILT_IN and name not in here]:
        raise UsageError(
            f"{', '.join(absent)}: not in {place}; give the folder that holds them with --data, or other "
            f"names with --sets (there: {', '.join([BUILT_IN, *here])})"
        )
    return [Set(name, {}) if name == BUILT_IN else _detected(place / name, scratch) for name in wanted]


def _detected(folder: Path, scratch: Path) -> Set:
    own = scratch / folder.name
    own.mkdir()
    found = detect(folder, own)
    return Set(folder.name, environ(found.source), found.notes)


def environ(source: Mapping[str, Any]) -> dict[str, str]:
    """Settings of [source] as variables."""
    return {f"NIGHTMILL_SOURCE__{key.upper()}": json.dumps(value) for key, value in source.items()}
