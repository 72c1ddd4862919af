"""How many tokens a text is, by the tokenizer of the model that will read it, and where it may be cut."""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError
from jobs.assets import ResolvedModel

# Where each token of a text begins, in characters.
Starts = Callable[[str], list[int]]
# Tokens are shorter than this on average over any text; what is behind need not be counted.
CHARACTERS_PER_TOKEN = 24
NONSPACE = re.compile(r"\S+")
# Scripts without spaces may be cut between two letters.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
# What belongs to the character before it.
CLINGING = re.compile(
    r"[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3"
    r"\u200c\u200d\u3099\u309a\u30fc\ufe00-\ufe0f\uff9e\uff9f]"
)


def word_starts(text: str) -> list[int]:
    """Words as tokens, for an engine without a tokenizer."""
    return [match.start() for match in NONSPACE.finditer(text)]


class ModelTokens:
    """Where the tokens of a text begin; the tokenizer is loaded when a text is first long enough to ask."""

    def __init__(self, model: ResolvedModel) -> None:
        self._model = model

    def __call__(self, text: str) -> list[int]:
        """The first character of each token of the text."""
        return [start for start, _ in self._tokenizer.encode(text, add_special_tokens=False).offsets]

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        path = tokenizer_file(self._model)
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more special
            raise NightmillError(f"{path} is not a tokenizer that can be read: {error}") from None


def tokenizer_file(model: ResolvedModel) -> Path:
    """The tokenizer.json of a model: in its folder, or fetched from the hub once.

    NightmillError says what to do where there is none.
    """
    local = Path(model.path)
    if local.is_dir():
        if not (local / "tokenizer.json").is_file():
            raise NightmillError(
                f"model folder {local} has no tokenizer.json: write it with "
                "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
            )
        return local / "tokenizer.json"
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model.path, "tokenizer.json", revision=model.revision))
    except Exception as error:  # offline, no such file, no access: each has a class of its own
        raise NightmillError(
            f"the tokenizer of {model.path} at {model.revision} could not be fetched "
            f"({type(error).__name__}): name a local folder that holds the model, or one that the hub has"
        ) from None


def cut(text: str, limit: int, starts: Starts) -> str:
    """The longest beginning of a text of at most `limit` tokens that ends where a word does.

    Empty where not even the first word fits.
    """
    # A token is at least one byte, so a short text needs no tokenizer.
    if (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) <= limit:
        return text
    head = text[: limit * CHARACTERS_PER_TOKEN]
    found = starts(head)
    if len(found) <= limit and len(head) == len(text):
        return text
    end = found[limit] if len(found) > limit else len(head)
    while end > 0:
        end = _border(text, end)
        kept = text[:end].rstrip(" ,;:-\u2013\u2014(\u3001\uff0c")
        over = starts(kept)
        if len(over) <= limit:
            return kept
        end = min(end - 1, over[limit])
    return ""


def _border(text: str, end: int) -> int:
    """The last place at or before `end` where a word ends."""
    while end > 0 and not _is_border(text, end):
        end -= 1
    return end


def _is_border(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at : at + 1]
    if not after or after.isspace() or before.isspace():
        return True
    if CLINGING.match(after) or before == "\u200d":
        return False
    return bool(UNSPACED.match(before) or UNSPACED.match(after))
