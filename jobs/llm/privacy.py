"""What of a person is taken out of a row before a model reads it: addresses, numbers, bylines, names."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from feature_store.errors import SettingsError
from feature_store.sections import Privacy
from jobs.llm.bylines import announces, redact_bylines
from jobs.llm.characters import visible
from jobs.llm.digits import redact_cards, redact_phones

MARKS = re.compile(r"(\[(?:email|phone|card|name)\])")
EMAIL = re.compile(r"[\w.+%'-]{1,64}[@\uff20](?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
# Seven digits with little between them: the shortest phone number. Everything else is left alone at once.
DIGITS = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")
DASH_NAME = re.compile(r"[-\u2013\u2014\u2015~][ \t]*[^\W\d_][^\n]{0,80}$", re.MULTILINE)
# Scripts that put no space between words: a name in them is looked for anywhere.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
SIGNS = re.compile(r"[\u0900-\u0903\u093a-\u094f\u0981-\u0dff\u0591-\u05bd\u064b-\u065f]")
WORD = re.compile(r"\w+(?:['\u2019-](?!s\b)\w+)*", re.IGNORECASE)

# Nobody's text may keep the night busy.
LONGEST = 16_000

Redact = Callable[[str], str]


class Redactor:
    """Puts [email], [phone], [card] and [name] where a text says them; all other text stays as it is.

    A text in which something was found comes back as a reader sees it: NFC, without hidden characters.

    names: people to be taken out wherever they are named, in capitals or not.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        wanted = [unicodedata.normalize("NFC", name.strip()) for name in names]
        self._unspaced, self._spaced = _index([name for name in wanted if name])
        self._short: Redact = lru_cache(maxsize=65536)(self._redact)

    def __call__(self, text: str) -> str:
        """The text without what it says of a person; the same text again when given its own result."""
        # Categories and years come again and again; long texts rarely.
        return self._short(text) if len(text) <= 40 else self._redact(text)

    def _redact(self, text: str) -> str:
        # What is hidden by entities or characters without width is found all the same.
        shown = visible(text)
        if not self._suspicious(shown):
            return text
        redacted = self._stable(shown)
        return text if redacted == shown else redacted

    def _stable(self, text: str) -> str:
        before = None
        while text != before:
            before = text
            pieces = MARKS.split(text)
            text = "".join(piece if i % 2 else self._piece(piece) for i, piece in enumerate(pieces))
        return text

    def _suspicious(self, text: str) -> bool:
        if "@" in text or "\uff20" in text or self._spaced or self._unspaced:
            return True
        has_dash = not text.isascii() or "-" in text or "~" in text
        return bool(DIGITS.search(text) or (has_dash and DASH_NAME.search(text)) or announces(text))

    def _piece(self, text: str) -> str:
        text = EMAIL.sub("[email]", text)
        if DIGITS.search(text):
            text = redact_phones(redact_cards(text))
        text = redact_bylines(text)
        return self._without_names(text)

    def _without_names(self, text: str) -> str:
        if self._unspaced:
            text = self._unspaced.sub("[name]", text)
        if not self._spaced:
            return text
        found = list(WORD.finditer(text))
        folded = [match.group().casefold() for match in found]
        spans, at = [], 0
        while at < len(found):
            length = next((n for n in self._spaced.get(folded[at], ()) if _is_name(n, folded, at)), ())
            if length:
                spans.append((found[at].start(), found[at + len(length) - 1].end()))
            at += len(length) or 1
        for start, end in reversed(spans):
            text = text[:start] + "[name]" + text[end:]
        return text


def _index(names: Collection[str]) -> tuple[re.Pattern[str] | None, dict[str, list[tuple[str, ...]]]]:
    """Names of scripts without spaces as one pattern; the others' words under their first, longest first."""
    unspaced = [re.escape(name) for name in names if UNSPACED.search(name)]
    # Vowel signs are no letters to Python: such names are looked for as they are written, as whole words.
    signed = [name for name in names if not UNSPACED.search(name) and SIGNS.search(name)]
    unspaced += [rf"(?<!\w){re.escape(name)}(?!\w)(?!{SIGNS.pattern})" for name in signed]
    unspaced.sort(key=len, reverse=True)
    spaced: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        words = tuple(word.casefold() for word in WORD.findall(name))
        if words and not UNSPACED.search(name) and name not in signed:
            spaced.setdefault(words[0], []).append(words)
    for known in spaced.values():
        known.sort(key=len, reverse=True)
    return (re.compile("|".join(unspaced), re.IGNORECASE) if unspaced else None), spaced


def _is_name(name: tuple[str, ...], words: list[str], at: int) -> bool:
    return tuple(words[at : at + len(name)]) == name


def redactor(privacy: Privacy) -> Redact | None:
    """What the settings want done to every text of a row; None where they want nothing done."""
    return Redactor(listed_names(privacy)) if privacy.redact else None


def listed_names(privacy: Privacy) -> list[str]:
    """The names of privacy.names_file, one a line; SettingsError when it cannot be read."""
    if not privacy.names_file:
        return []
    path = Path(privacy.names_file).expanduser()
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(
            f"privacy.names_file {path} cannot be read ({problem}): name a UTF-8 text file with one name a "
            'line, or set it to ""'
        ) from None


def redact_all(value: Any, redact: Redact) -> Any:
    """A row with every text in it redacted, however deep; keys are names of columns and stay.

    Of a text of more than 16,000 characters only the beginning is kept, far more than a prompt shows.
    """
    if isinstance(value, str):
        return redact(value[:LONGEST])
    if isinstance(value, dict):
        return {k: v if v is None else redact_all(v, redact) for k, v in value.items()}
    if isinstance(value, list | tuple):
        # The texts of a list without another call for each: rows are read by the million.
        return [redact(v[:LONGEST]) if type(v) is str else redact_all(v, redact) for v in value]
    return value
