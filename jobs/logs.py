"""What the commands print, for programs: with `[log] format = "json"` one object a line.

    {"time": "...", "level": "info", "job": "embed", "ds": "1998-01-07", "run_id": "...", "message": "..."}

job, ds and run_id are there once they are known. Lines of `print`, of warnings, of `logging` and of errors
nobody caught all pass through here; what a Java machine or a model server writes by itself does not. There is
no progress bar: a stream of this kind is no terminal.
"""

import io
import json
import logging
import sys
import threading
import traceback
import warnings
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, TextIO

from feature_store.settings import Settings

# A process runs one job at a time; its threads write for the same one.
_about: dict[str, str] = {}


class Lines(io.TextIOBase):
    """A stream that makes of each line an object for `target`; of a line written over and over, the last."""

    def __init__(self, target: TextIO, level: str = "info") -> None:
        self.target, self.level = target, level
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Take some text; a line is handed on when it is complete."""
        *lines, rest = (getattr(self._begun, "line", "") + text).split("\n")
        self._begun.line = rest
        for line in lines:
            if said := line.rstrip("\r").rpartition("\r")[2].strip():
                self.say(said, self.level)
        return len(text)

    def say(self, message: str, level: str, **more: Any) -> None:
        """Write one object."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": level, **_about, "message": message, **more}
        self.target.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.target.flush()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor behind it, which child processes inherit."""
        return self.target.fileno()


class _Records(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), record.levelname.lower(), logger=record.name)


def install(settings: Settings, *, stdout: bool = False) -> None:
    """Where the settings ask for JSON, turn stderr (and stdout, unless it holds a result) into such lines."""
    if settings.log.format != "json":
        return
    if stdout and not isinstance(sys.stdout, Lines):
        sys.stdout = Lines(sys.stdout)
    if isinstance(sys.stderr, Lines):
        return
    sys.stderr = Lines(sys.stderr)
    logging.getLogger().addHandler(_Records(logging.WARNING))
    warnings.showwarning = _warn
    sys.excepthook = _uncaught


def about(settings: Settings, job: str, ds: date, run_id: str = "") -> None:
    """Say what the lines from now on are about; also in a process that a command started for its work."""
    install(settings)
    _about.clear()
    _about.update(job=job, ds=ds.isoformat(), **({"run_id": run_id} if run_id else {}))


def say(message: str, level: str, **more: Any) -> None:
    """Print one line to stderr; its level and what else is known of it show in JSON only."""
    if isinstance(sys.stderr, Lines):
        sys.stderr.say(message, level, **more)
    else:
        print(message, file=sys.stderr, flush=True)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    say(f"{category.__name__}: {message}", "warning", where=f"{filename}:{lineno}")


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    lines = traceback.format_exception(kind, error, trace)
    say(f"{kind.__name__}: {error}", "error", traceback="".join(lines))
