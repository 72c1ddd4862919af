"""Text nobody vouches for: made harmless before it is shown to a model, checked before it is published."""

import re
import unicodedata
from collections.abc import Iterable

from jobs.llm.characters import visible

# Marks that chat templates of one model family or another give a meaning to; a row must not be able to end
# its own turn.
SPECIAL = re.compile(
    r"<[|\uff5c][^<>|\uff5c]{0,60}[|\uff5c]>|[|\uff5c][\w\u2581]{1,40}[|\uff5c]>|<\|im_(?:start|end)|<\|eot_id|</?s>|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|</?(?:bos|eos|pad|unk|sop|eop|think|tool_call|tool_response)>"
    r"|\[/?INST\b\s*\]?|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|gMASK|CLS|SEP)\]"
    r"|#{2,}\s*(?:instruction|response|system|user|assistant|human)s?\s*:",
    re.IGNORECASE,
)
# The turns of our own templates, and the marks that row text stands between, in any spelling, closed or not.
TURN = re.compile(r"-{2,}\s*(?:system|user|assistant)\b", re.IGNORECASE)
MARK = re.compile(
    r"[<\uff1c\ufe64\u2039\u27e8\u3008]\s*[/\uff0f\u2044\u2215\\]?\s*(?:items?|\uff49\uff54\uff45\uff4d\uff53?)\b"
    r"[^<>\uff1e\n]{0,80}[>\uff1e\ufe65\u203a\u27e9\u3009]?",
    re.IGNORECASE,
)
TAG = re.compile(r"</?[A-Za-z!?][^<>]{0,500}>")
BLOCK = re.compile(
    r"<(script|style)\b[^<>]{0,500}>.{0,5000}?</\1\s*>|<!--.{0,5000}?-->", re.IGNORECASE | re.DOTALL
)
MARKUP = re.compile(r"<[^<>]{1,500}>|<[A-Za-z/!?][^>]*$")
MARKDOWN = re.compile(
    r"!?\[([^\[\]]*)\]\([^()]*\)|`+|\*\*+|__+|^[ \t]*(?:(?:#{1,6}|>+)[ \t]+)+", re.MULTILINE
)
# What a spreadsheet would take for a formula.
FORMULA = " =+@|%-\t"
LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
WORD = re.compile(r"\w+(?:['\u2019.-]\w+)*")
SENTENCE = re.compile(r"(?:^|[.!?:]\s+)\W*")


def fence(value: object, limit: int = 160) -> str:
    """One field of a row as one line a model may read: no control characters, no marks of a chat template.

    Text in any script survives; more than `limit` characters are cut at the last space before it.
    """
    text = str(value)
    if not (text.isascii() and text.isprintable() and "  " not in text) or "<" in text or "[" in text:
        text = _fenced(text)
    text = text.strip()
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].rstrip(" ,;:-")


def _fenced(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    while SPECIAL.search(text):
        text = SPECIAL.sub(" ", text)
    text = "".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Co", "Zl", "Zp"} else c for c in text)
    return " ".join(text.split())


def inert(value: object) -> str:
    """One field of a row as one line of plain text that cannot leave the marks it is put between.

    Entities are decoded; tags, marks, turns, controls and characters without width are taken out, as often
    as it takes. Text in any script survives.
    """
    text = str(value)
    if text.isascii() and text.isprintable() and not _SUSPECT.search(text):
        return text.strip()
    before = None
    while text != before:
        before = text
        text = visible(text)
        for pattern in (BLOCK, TAG, MARK, SPECIAL, TURN):
            text = pattern.sub(" ", text)
        text = " ".join(text.split())
    return text


_SUSPECT = re.compile(r"[<&\[]|  |--|##")


def clean(text: str) -> str:
    """A model's text as it may be published: one line without markup, controls or the start of a formula."""
    before = None
    while text != before:
        before = text
        text = BLOCK.sub(" ", visible(text))
        text = MARKUP.sub(" ", MARKDOWN.sub(r"\1", text))
        for pattern in (MARK, SPECIAL, TURN):
            text = pattern.sub(" ", text)
        text = " ".join(text.split()).lstrip(FORMULA)
    return text


def words(text: str) -> set[str]:
    """The words of a text, folded so that spelling in capitals does not matter."""
    return {_fold(word) for word in WORD.findall(text)}


def ungrounded(text: str, source: Iterable[str], nouns_are_capitalised: bool = False) -> list[str]:
    """Numbers and capitalised words of a text that no source text contains.

    The first word of a sentence is capitalised anyway and counts only when it is a number; in languages that
    capitalise every noun only numbers count.
    """
    known: set[str] = set()
    for piece in source:
        known |= words(piece) | {part for word in words(piece) for part in re.split(r"['.-]", word)}
    starts = {match.end() for match in SENTENCE.finditer(text)}
    invented = []
    for match in WORD.finditer(text):
        word = match.group()
        is_name = word[0].isupper() and match.start() not in starts and not nouns_are_capitalised
        if not (is_name or any(c.isdigit() for c in word)):
            continue
        parts = [_fold(word), *re.split(r"['.-]", _fold(word))]
        if parts[0] not in known and not all(part in known for part in parts[1:]):
            invented.append(word)
    return invented


def links(text: str) -> list[str]:
    """Web addresses in a text."""
    return LINK.findall(text)


def _fold(word: str) -> str:
    folded = word.casefold().replace("\u2019", "'")
    return folded.removesuffix("'s")
