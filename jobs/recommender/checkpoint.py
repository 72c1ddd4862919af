"""Where learning stood, so that a run that was cut short goes on from there.

<folder>/<phase>.safetensors      tensors of the towers now and at their best; there whole or not at all
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feature_store.partitions import sync
from jobs.recommender.towers import Towers

# Seconds between two checkpoints, at least: what a crash may cost, against the time it takes to write one.
_SECONDS = 20.0


@dataclass
class Position:
    """Passes done; the best recall so far, after which pass, and the towers' state then."""

    passed: int = 0
    best: float = -1.0
    best_at: int = 0


class Checkpoint:
    """The checkpoints of one alignment, one file a phase."""

    def __init__(self, folder: Path, seconds: float = _SECONDS) -> None:
        self._folder, self._seconds = folder, seconds
        self._written = time.monotonic()
        self.resumed = 0

    def restored(self, phase: str, towers: Towers) -> tuple[Position, dict[str, Any]]:
        """The position of an earlier run and its best state, put into the towers; else the beginning."""
        from safetensors import SafetensorError, safe_open

        path = self._path(phase)
        if not path.exists():
            return Position(), towers.state()
        try:
            with safe_open(path, framework="pt") as file:
                position = Position(**json.loads(file.metadata()["position"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError):
            path.unlink(missing_ok=True)  # it was cut short, or is of another version
            return Position(), towers.state()
        towers.restore(_part(tensors, "now"))
        self.resumed = max(self.resumed, position.passed)
        return position, _part(tensors, "best")

    def keep(self, phase: str, towers: Towers, position: Position, best: dict[str, Any]) -> None:
        """Write where learning stands, unless that was done a moment ago."""
        if time.monotonic() - self._written < self._seconds:
            return
        from safetensors.torch import save_file

        tensors = {f"now/{name}": tensor for name, tensor in towers.state().items()}
        tensors |= {f"best/{name}": tensor.clone() for name, tensor in best.items()}
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(phase)
        staged = path.with_suffix(".staged")
        save_file(tensors, staged, {"position": json.dumps(asdict(position))})
        sync(staged)
        os.replace(staged, path)
        self._written = time.monotonic()

    def _path(self, phase: str) -> Path:
        return self._folder / f"{phase}.safetensors"


def _part(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key.split("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
