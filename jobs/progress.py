"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

LINE_SECONDS = 15.0


class Progress:
    """Counts finished units and shows rate and time left.

    On a terminal a tqdm bar; in a log one line every 15 seconds and one at the end.
    """

    def __init__(self, total: int, description: str, unit: str = "row") -> None:
        self.total, self.description, self.unit = total, description, unit
        self.done = 0
        self.extra = ""
        self._started = self._last_line = time.monotonic()
        self._said = -1
        self._bar = tqdm(total=total, desc=description, unit=unit) if sys.stderr.isatty() else None

    def update(self, count: int = 1, extra: str = "") -> None:
        """Count `count` more finished units; `extra` is shown after the numbers."""
        self.done += count
        self.extra = extra
        if self._bar is not None:
            self._bar.set_postfix_str(extra, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last_line, self._said = time.monotonic(), self.done
        seconds = max(self._last_line - self._started, 1e-9)
        rate = self.done / seconds
        left = (self.total - self.done) / rate if rate else float("inf")
        units = self.unit + ("es" if self.unit.endswith("s") else "s")
        share = f"{self.done:,}/{self.total:,} {units}"
        pace = f"{rate:,.1f}/s" if rate >= 0.1 or not rate else f"{1 / rate:,.0f} s each"
        text = f"{self.description}: {share}, {pace}, {left:,.0f} s left"
        print(text + (f", {self.extra}" if self.extra else ""), file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.total and self._said != self.done:
            self._line()
