"""Showing a night as it runs: a line per finished task, and what the running ones say."""

import sys
import time
from collections.abc import Sequence
from datetime import date
from types import TracebackType
from typing import Self

from tqdm import tqdm

from infra.airflow.api import AirflowApi, TaskState

SHOWN = {"success", "failed", "up_for_retry"}
LINES_OF_A_FAILURE = 10
SECONDS_BETWEEN_SIGNS_OF_LIFE = 30.0


class Watch:
    """Prints what became of the tasks of some runs, with a bar over all of them on a terminal."""

    def __init__(self, api: AirflowApi, dates: Sequence[date]) -> None:
        self.api = api
        self.dates = dates
        self.seen: set[tuple[date, str, int, str]] = set()
        self.spoken = time.monotonic()
        self.latest: list[TaskState] = []
        # Without a terminal the lines are enough.
        self.bar = tqdm(unit="task", disable=not sys.stderr.isatty(), leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def update(self, ds: date, run: str, tasks: Sequence[TaskState]) -> None:
        """Say what has happened since the last update."""
        self.latest = list(tasks)
        self.bar.total = sum(task.state != "skipped" for task in tasks) * len(self.dates)
        for task in tasks:
            mark = (ds, task.label, task.tries, task.state)
            if task.state in SHOWN and mark not in self.seen and task.seconds is not None:
                self.seen.add(mark)
                self._say(f"{ds}  {task.label:<20} {task.state.replace('_', ' '):<12} {task.seconds:8.1f} s")
                self.bar.update(task.state == "success")
        self.bar.set_description_str(f"{ds} " + ", ".join(t.label for t in tasks if t.state == "running"))
        if time.monotonic() - self.spoken > SECONDS_BETWEEN_SIGNS_OF_LIFE:
            for task in tasks:
                if task.state == "running":
                    self._say(f"{ds}  {task.label:<20} running      {self._last_line(run, task)}")

    def failure(self, ds: date, run: str) -> str:
        """Which task failed, with the last lines of its log."""
        failed = next(task for task in self.latest if task.state == "failed")
        lines = self.api.log(run, failed.name, failed.tries, failed.index)[-LINES_OF_A_FAILURE:]
        kept = sum(task.state == "upstream_failed" for task in self.latest)
        others = f"{kept} task{' that needs' if kept == 1 else 's that need'} it did not run"
        return "\n".join(
            [f"{failed.label} failed for {ds}; {others}. Its log ends:"] + [f"    {line}" for line in lines]
        )

    def _last_line(self, run: str, task: TaskState) -> str:
        lines = self.api.log(run, task.name, task.tries, task.index)
        return lines[-1] if lines else ""

    def _say(self, line: str) -> None:
        self.bar.write(line, file=sys.stdout)
        sys.stdout.flush()
        self.spoken = time.monotonic()
