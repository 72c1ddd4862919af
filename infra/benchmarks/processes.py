"""The processes of a benchmark: each side is one of its own, so that neither profits from the other."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY

MARK = "RESULT "


def side(
    module: str,
    task: str,
    environ: Mapping[str, str] | None = None,
    python: Path | None = None,
    **config: Any,
) -> dict[str, Any]:
    """Run `python -m infra.benchmarks.MODULE TASK CONFIG` and read what it hands to `result`.

    python: the interpreter of another environment (infra.environments). NightmillError with the last line it
    said when it fails.
    """
    command = [str(python or sys.executable), "-m", f"infra.benchmarks.{module}", task, json.dumps(config)]
    output, errors, code = _finish(command, os.environ | (environ or {}))
    lines = [line[len(MARK) :] for line in output.splitlines() if line.startswith(MARK)]
    if code or not lines:
        said = (errors or output).strip().splitlines() or ["it said nothing"]
        raise NightmillError(f"the benchmark's side {module} {task} ended with {code}: {said[-1][:300]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def result(values: Mapping[str, Any]) -> None:
    """What a side measured, for the process that started it; peak_gib is its own unless it says another."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(MARK + json.dumps({"peak_gib": peak} | dict(values)), flush=True)


def nightmill(*arguments: str) -> float:
    """Run one `nightmill` command as a person would; seconds of the whole process."""
    started = time.monotonic()
    output, errors, code = _finish([sys.executable, "-m", "jobs.cli", *arguments], os.environ)
    if code:
        said = (errors or output).strip().splitlines() or ["it said nothing"]
        raise NightmillError(f"`nightmill {' '.join(arguments)}` ended with {code}: {said[-1][:300]}")
    return time.monotonic() - started


def _finish(command: list[str], environ: Mapping[str, str]) -> tuple[str, str, int]:
    """Output, errors and exit code; whatever interrupts the wait ends the process and its children."""
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return output, errors, process.returncode


def folder_of(root: Path, name: str) -> Path:
    """A new folder under a benchmark's root."""
    folder = root / name
    folder.mkdir(parents=True)
    return folder
