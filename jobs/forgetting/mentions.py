"""Ids in texts that are for people: logs, pages, records of checks.

In a log an id is covered by as many asterisks: nothing moves, so that a process that is writing to the file
goes on as if nothing had been, and doing it twice is doing it once.
"""

import html
import json
import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from feature_store import data_docs
from feature_store.catalog import CATALOG
from feature_store.forgotten import FILE
from feature_store.partitions import Store
from jobs.forgetting.people import People, distinctive
from jobs.forgetting.summary import Summary
from jobs.recommender.synthetic import escaped

# What has a rule of its own, or holds no word of a user.
ELSEWHERE = {
    *(
        "tables",
        "generations",
        "vectors",
        "inputs",
        "scratch",
        "ledger",
        "locks",
        "leases",
        "feast",
        "reports",
    ),
    *(CATALOG, FILE, "report.html"),
}
LOGS = {".log", ".jsonl", ".html", ".txt", ".out", ".err"}
STREAMS = {"stdout", "stderr"}  # as Spark's workers call them
WORD = rb"(?<!\w)(?:%s)(?!\w)"
# What could be any number or word is an id where a text calls it a user, or quotes it.
NAMED = rb"(?<=user_id=)(?:%s)(?!\w)|(?<=user )(?:%s)(?!\w)|(?<=\")(?:%s)(?=\\?[\"|])|(?<=')(?:%s)(?=')"


class Mentions:
    """Finds the ids of some users in bytes of text."""

    def __init__(self, people: People) -> None:
        self._word = _any_of(people, lambda _: True, WORD)
        self._distinctive = _any_of(people, distinctive, WORD)
        named = _any_of(people, lambda user: not distinctive(user), NAMED)
        self._sure = [found for found in (self._distinctive, named) if found is not None]

    def may_be_in(self, text: bytes) -> bool:
        """Whether an id stands in a text as a word, be it by chance."""
        return self._word is not None and self._word.search(text) is not None

    def are_in(self, text: "bytes | mmap.mmap") -> bool:
        """Whether an id stands in a text that can be nothing else."""
        return self._distinctive is not None and self._distinctive.search(text) is not None

    def spans(self, text: "bytes | mmap.mmap") -> list[tuple[int, int]]:
        """Where ids stand."""
        return [found.span() for pattern in self._sure for found in pattern.finditer(text)]


def _any_of(people: People, wanted: Callable[[str], bool], pattern: bytes) -> re.Pattern[bytes] | None:
    """A pattern of some of the ids, as texts write them; None where there are none."""
    forms = {form for user in people.ids if wanted(user) for form in _forms(user)}
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile(pattern.replace(b"%s", b"|".join(re.escape(form) for form in longest_first)))


def _forms(user_id: str) -> set[bytes]:
    """An id as it is, in JSON, in HTML, and in the name of a question."""
    texts = {user_id, html.escape(user_id), json.dumps(user_id)[1:-1], escaped(user_id)}
    return {text.encode("utf-8", "replace") for text in texts}


def cover(store: Store, people: People, summary: Summary) -> None:
    """Cover their ids in logs and pages under the data root; say which other files mention them and stay."""
    mentions = Mentions(people)
    for path in _files(store.root):
        if summary.dry_run and data_docs.FOLDER in path.parts:
            continue  # pages of failed checks, which go as a whole
        try:
            if _is_log(path.relative_to(store.root)):
                _cover(path, mentions, summary)
            elif _names(path, mentions):
                summary.left.append(
                    f"{path} mentions them and is not a file of Nightmill's (docs/runbook.md)"
                )
        except FileNotFoundError:
            continue  # a log that was rotated away
        except PermissionError:
            summary.left.append(f"{path} cannot be changed by this account: look whether it names them")


def _is_log(path: Path) -> bool:
    return path.suffix in LOGS or path.name in STREAMS or "logs" in path.parts


def _files(root: Path) -> Iterator[Path]:
    for top in sorted(root.iterdir()):
        if top.name in ELSEWHERE:
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                yield path


def _names(path: Path, mentions: Mentions) -> bool:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return mentions.are_in(content)


def _cover(path: Path, mentions: Mentions, summary: Summary) -> None:
    access = mmap.ACCESS_READ if summary.dry_run else mmap.ACCESS_WRITE
    with (
        open(path, "rb" if summary.dry_run else "r+b") as file,
        mmap.mmap(file.fileno(), 0, access=access) as text,
    ):
        spans = mentions.spans(text)
        if spans and not summary.dry_run:
            for start, end in spans:
                text[start:end] = b"*" * (end - start)
            text.flush()
    summary.add("mentions in logs and pages", len(spans), 1)
