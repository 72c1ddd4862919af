"""`nightmill bench NAME`: runs infra/benchmarks/<name>.py in a temporary data root, prints what it measured.

A benchmark is a module with `run(settings, say, **options) -> list[Row]`, and OPTIONS with the names of those
options if there are any. It reads and writes under settings.data_root, which is empty and its own, and tells
a person what it is doing with `say`, one line a step.
"""

import importlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError, UsageError
from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.benchmarks.measures import environment, render
from jobs.asset_cache import RECORD
from jobs.assets import DATASETS, MODELS

# The benchmarks fix what they measure on; the model and how it is run stay the user's.
FIXED = {"NIGHTMILL_GENERATION__ENGINE": "server", "NIGHTMILL_STORE__REMOTE": ""}
DROPPED = ("NIGHTMILL_PROFILE", "NIGHTMILL_SOURCE__")


def bench(name: str, output: str, settings: Settings, options: Mapping[str, Any] | None = None) -> None:
    """Run one benchmark and print its rows as `table` or `json`.

    options: those of its OPTIONS that were given; UsageError names one it does not take.
    """
    benchmark = importlib.import_module(f"infra.benchmarks.{name.replace('-', '_')}")
    given = {option: value for option, value in (options or {}).items() if value}
    if unknown := [option for option in given if option not in getattr(benchmark, "OPTIONS", ())]:
        raise UsageError(f"bench {name} takes no --{unknown[0]}")
    require_prepared(settings)
    with tempfile.TemporaryDirectory(prefix=f"nightmill-bench-{name}-") as folder, _environment(folder):
        own = load_settings()
        rows = benchmark.run(own, Say(name), **given)
        print(render(rows, environment(own), output))


@contextmanager
def _environment(data_root: str) -> Iterator[None]:
    """The variables that every process a benchmark starts inherits."""
    before = dict(os.environ)
    for variable in before:
        if variable.startswith(DROPPED):
            del os.environ[variable]
    os.environ.update(FIXED | {"NIGHTMILL_DATA": data_root})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Say:
    """Progress on stderr, with the seconds since the start."""

    def __init__(self, name: str) -> None:
        self._name, self._started = name, time.monotonic()

    def __call__(self, text: str) -> None:
        """One line."""
        seconds = time.monotonic() - self._started
        print(f"bench {self._name} [{seconds:4.0f} s] {text}", file=sys.stderr, flush=True)


def require_prepared(settings: Settings) -> None:
    """NightmillError when a built-in model or data set is not in the cache: fetching is not measured."""
    names = (settings.generation.model, settings.embedding.model, "movielens-100k")
    for name in names:
        built_in = name in MODELS or name in DATASETS
        if built_in and not (Path(settings.cache_root) / name / RECORD).is_file():
            raise NightmillError(f"{name} is not in {settings.cache_root}; run `nightmill prepare` first")
