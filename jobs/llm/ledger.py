"""What answers cost, written down as they come: one file a run, read by every shard of the night.

    <data>/ledger/ds=YYYY-MM-DD/<job>-<run_id>.json

A run that is killed has paid all the same; its entry stays. The sum over a night's entries is what the
night's token budget is compared with.
"""

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from feature_store.errors import NightmillError
from feature_store.partitions import write_atomically
from feature_store.sections import Price
from jobs.llm.request import Answer, Request


@dataclass(frozen=True)
class Entry:
    """What one run asked and what that took.

    asked: questions a model answered. prompt_tokens: read, of which cached_tokens came from the prefix cache.
    seconds: from opening the engine to the last answer. shard: "k/N", empty for a whole run.
    """

    ds: str
    job: str
    run_id: str
    prompt_name: str
    model_id: str
    engine: str
    shard: str = ""
    asked: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    updated_at: str = ""

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.output_tokens


def cost(entries: Iterable[Entry], price: Price) -> float | None:
    """What the entries' tokens cost at these prices; None where no price is known."""
    if not (price.read or price.cached or price.written):
        return None
    return (
        sum(
            (e.prompt_tokens - e.cached_tokens) * price.read
            + e.cached_tokens * price.cached
            + e.output_tokens * price.written
            for e in entries
        )
        / 1e6
    )


class Ledger:
    """The entries under one data root."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "ledger"

    def entries(self, ds: date | None = None) -> list[Entry]:
        """The entries of a night, or of all nights, oldest first."""
        pattern = f"ds={ds.isoformat()}/*.json" if ds else "ds=*/*.json"
        return sorted((_read(path) for path in self.folder.glob(pattern)), key=lambda e: e.updated_at)

    def recent(self, prompt_name: str, model_id: str, runs: int) -> list[Entry]:
        """At most `runs` entries with answers of a model to a prompt, of the newest nights that have any."""
        found: list[Entry] = []
        for folder in sorted(self.folder.glob("ds=*"), reverse=True):
            night = self.entries(date.fromisoformat(folder.name[3:]))
            found += [e for e in night if e.asked and (e.prompt_name, e.model_id) == (prompt_name, model_id)]
            if len(found) >= runs:
                break
        return found[:runs]

    def begun(self, entry: Entry) -> Entry:
        """What a job of a run has spent already, where it asks a second time; else the entry as it is."""
        path = self._path(entry)
        return _read(path) if path.exists() else entry

    def write(self, entry: Entry) -> None:
        """Put an entry in place of the run's former one."""
        write_atomically(self._path(entry), json.dumps(asdict(entry), indent=2))

    def _path(self, entry: Entry) -> Path:
        return self.folder / f"ds={entry.ds}" / f"{entry.job}-{entry.run_id}.json"


def _read(path: Path) -> Entry:
    try:
        return Entry(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise NightmillError(
            f"{path} is damaged ({error}); remove it: what its run cost is then no longer counted"
        ) from None


class Account:
    """The entry of the run that is asking now, and what is left of the night's budget.

    budget: tokens the night may read and write, 0 for no limit.
    """

    def __init__(self, ledger: Ledger, entry: Entry, budget: int) -> None:
        self.entry, self._ledger, self._budget = entry, ledger, budget
        self._others, self._before = 0, entry.tokens
        self._started = time.monotonic()
        self._in_flight: dict[str, int] = {}
        self._reserved = self._expected = 0
        self._lock = threading.Lock()  # the HTTP engine takes requests in a thread of its own

    def open(self) -> None:
        """Begin: look what the other runs of the night have spent, start the clock."""
        self._look()
        self._started = time.monotonic() - self.entry.seconds

    def admits(self, request: Request) -> bool:
        """Whether the budget has room for a request beside those in flight; if so, it is in flight."""
        if not self._budget:
            return True
        with self._lock:
            return self._reserve(request)

    def _reserve(self, request: Request) -> bool:
        size = expected_tokens(request)
        self._release(request.key)  # it may have been in an engine that died
        # How far lengths mislead is seen on the answers that are there.
        ratio = (self.entry.tokens - self._before) / self._expected if self._expected else 1.0
        if self._others + self.entry.tokens + (self._reserved + size) * ratio > self._budget:
            return False
        self._in_flight[request.key] = size
        self._reserved += size
        return True

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        with self._lock:
            self._expected += self._release(answer.key)
        self.entry = replace(
            self.entry,
            asked=self.entry.asked + 1,
            prompt_tokens=self.entry.prompt_tokens + answer.prompt_tokens,
            cached_tokens=self.entry.cached_tokens + answer.cached_tokens,
            output_tokens=self.entry.output_tokens + answer.output_tokens,
        )

    def _release(self, key: str) -> int:
        size = self._in_flight.pop(key, 0)
        self._reserved -= size
        return size

    def write(self) -> None:
        """Write the entry down, and look what the other shards have spent meanwhile."""
        seconds = round(time.monotonic() - self._started, 3)
        self.entry = replace(self.entry, seconds=seconds, updated_at=datetime.now(UTC).isoformat())
        self._ledger.write(self.entry)
        self._look()

    def _look(self) -> None:
        if self._budget:
            entries = self._ledger.entries(date.fromisoformat(self.entry.ds))
            self._others = sum(e.tokens for e in entries if e.run_id != self.entry.run_id)


def expected_tokens(request: Request) -> int:
    """Tokens a request may take, from the length of its texts: three bytes a token, and the whole answer."""
    read = sum(len(message["content"].encode("utf-8", "replace")) // 3 + 8 for message in request.messages)
    return read + request.sampling.max_tokens
