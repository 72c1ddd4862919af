"""Characters that are not what they look like: controls, escapes, entities, marks without width."""

import html
import re
import unicodedata

# Terminal escapes: colours and cursor movements, window titles, and what is left of either.
ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Bidi controls, tags, fillers and joiners of nothing; ZWJ and ZWNJ are letters' business and kept below.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"
)
# They belong between letters of scripts that join, and between the parts of an emoji.
JOINERS = re.compile(
    "(?<=[\u200c\u200d])[\u200c\u200d]+|(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f\u200c\u200d])"
)
LINES = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\u3164\uffa0\ud800-\udfff\ue000-\uf8ff"
    "\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)


def visible(text: str) -> str:
    """The text as a reader sees it: entities decoded, line breaks as newlines, nothing without width.

    Joiners inside words and emoji stay, as does text in every script; the result is NFC.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        return text
    before = None
    while text != before:
        before = text
        text = ANSI.sub("", text)
        text = ENTITY.sub(lambda match: html.unescape(match.group()), text)
        text = CONTROL.sub(" ", LINES.sub("\n", text))
        text = JOINERS.sub("", INVISIBLE.sub("", text))
        text = unicodedata.normalize("NFC", text)
    return text


def one_line(text: str) -> str:
    """The text as one line that can forge nothing where it is printed: no line break, control or escape."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    text = CONTROL.sub(" ", LINES.sub(" ", ANSI.sub("", text)))
    return " ".join(JOINERS.sub("", INVISIBLE.sub("", text)).split())
