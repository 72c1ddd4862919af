"""Text nobody vouches for: made harmless before it is shown to a model, checked before it is published."""

import re
import unicodedata
from collections.abc import Iterable

# Marks that chat templates give a meaning to; a row must not be able to end its own turn.
SPECIAL = re.compile(
    r"<\|[^|<>]{0,40}\|>|<\|im_(?:start|end)|\[/?INST\]|</?s>|<<SYS>>|<</SYS>>|<(?:start|end)_of_turn>"
)
MARKUP = re.compile(r"<[^<>]{1,200}>")
LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
WORD = re.compile(r"\w+(?:['\u2019.-]\w+)*")
SENTENCE = re.compile(r"(?:^|[.!?:]\s+)\W*")
# Words that say of a person what must be neither asked for nor inferred.
PROTECTED_WORDS = frozenset(
    word
    for line in (
        "male female man men woman women boy boys girl girls gender sex age aged elderly senior seniors",
        "asian african hispanic latino arab caucasian ethnicity ethnic racial immigrant immigrants",
        "christian muslim jewish hindu buddhist atheist catholic protestant religion religious",
        "gay lesbian bisexual transgender queer heterosexual homosexual",
        "disabled disability pregnant illness disease depressed autistic",
        "republican democrat conservative liberal socialist communist",
    )
    for word in line.split(" ")
)


def fence(value: object, limit: int = 160) -> str:
    """One field of a row as one line a model may read: no control characters, no marks of a chat template.

    Text in any script survives; more than `limit` characters are cut at the last space before it.
    """
    text = unicodedata.normalize("NFC", str(value))
    while SPECIAL.search(text):
        text = SPECIAL.sub(" ", text)
    text = "".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Co", "Zl", "Zp"} else c for c in text)
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].rstrip(" ,;:-")


def clean(text: str) -> str:
    """A model's text as it may be published: no markup, no control characters, no doubled spaces."""
    return fence(MARKUP.sub(" ", text), limit=10_000)


def words(text: str) -> set[str]:
    """The words of a text, folded so that spelling in capitals does not matter."""
    return {_fold(word) for word in WORD.findall(text)}


def ungrounded(text: str, source: Iterable[str]) -> list[str]:
    """Numbers and capitalised words of a text that no source text contains.

    The first word of a sentence is capitalised anyway and counts only when it is a number.
    """
    known: set[str] = set()
    for piece in source:
        known |= words(piece) | {part for word in words(piece) for part in re.split(r"['.-]", word)}
    starts = {match.end() for match in SENTENCE.finditer(text)}
    invented = []
    for match in WORD.finditer(text):
        word = match.group()
        is_name = word[0].isupper() and match.start() not in starts
        if not (is_name or any(c.isdigit() for c in word)):
            continue
        parts = [_fold(word), *re.split(r"['.-]", _fold(word))]
        if parts[0] not in known and not all(part in known for part in parts[1:]):
            invented.append(word)
    return invented


def protected(text: str, source: Iterable[str] = ()) -> list[str]:
    """Words about protected attributes that the text brings in and no source text contains."""
    known = set[str]().union(*(words(piece) for piece in source))
    return sorted((words(text) & PROTECTED_WORDS) - known)


def links(text: str) -> list[str]:
    """Web addresses in a text."""
    return LINK.findall(text)


def _fold(word: str) -> str:
    folded = word.casefold().replace("\u2019", "'")
    return folded.removesuffix("'s")
