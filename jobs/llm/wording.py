"""What a prompt is rendered with besides its row: language, privacy, and the model's way of counting."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from feature_store.sections import PROTECTED, Settings
from jobs.llm.engine import Model
from jobs.llm.privacy import Redact, Redactor, listed_names, redact_all, redactor
from jobs.llm.text import inert
from jobs.llm.tokens import ModelTokens, Starts, cut, word_starts

# The name under which a template's filters find the list of what they cut.
CUTS = "cut_fields"


@dataclass(frozen=True)
class Wording:
    """How the rows of one run are put into words.

    redact: what is done to every text of a row, None for nothing. protected: the attributes nothing may be
    said about. starts: where the tokens of a text begin.
    """

    language: str = "English"
    protected: tuple[str, ...] = tuple(sorted(PROTECTED))
    redact: Redact | None = field(default_factory=Redactor)
    starts: Starts = word_starts

    @classmethod
    def of(cls, settings: Settings, model: Model) -> "Wording":
        """The settings' wording for a model; SettingsError when the list of names cannot be read."""
        return cls(
            settings.profiles.language,
            tuple(sorted(PROTECTED.difference(settings.privacy.allowed_attributes))),
            redactor(settings.privacy),
            ModelTokens(model.resolved) if model.resolved.path else word_starts,
        )

    def shown(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row as a template may see it."""
        shown: Mapping[str, Any] = redact_all(dict(row), self.redact or str)
        return shown

    @property
    def values(self) -> dict[str, Any]:
        """What every turn of a template may name."""
        return {
            "language": self.language,
            "protected": [name.replace("_", " ") for name in self.protected],
        }

    @property
    def filters(self) -> dict[str, Any]:
        """`value | field("name", 60)`: one field, inert and cut to 60 tokens at the end of a word.

        `values | fields("name", 60)`: a list of them, with commas, cut at the end of one of its values
        (of a word, where the first value is too long by itself).
        """

        @pass_context
        def one(context: Context, value: object, name: str, limit: int) -> str:
            text = inert(value)
            kept = cut(text, limit, self.starts)
            if len(kept) < len(text):
                context[CUTS].append(name)
            return kept

        @pass_context
        def several(context: Context, values: Any, name: str, limit: int) -> str:
            texts = [text for value in values if (text := inert(value))]
            joined = ", ".join(texts)
            while len(kept := cut(joined, limit, self.starts)) < len(joined):
                if name not in context[CUTS]:
                    context[CUTS].append(name)
                if len(texts) == 1:
                    return kept
                joined = ", ".join(texts[:-1])
                texts.pop()
            return joined

        return {"field": one, "fields": several}


def wording_fingerprint(settings: Settings) -> dict[str, Any]:
    """What of the settings changes how rows are put into words, and what answers may say."""
    names = "\n".join(listed_names(settings.privacy)) if settings.privacy.redact else ""
    return {
        "language": settings.profiles.language,
        "redact": settings.privacy.redact,
        "names": hashlib.sha256(names.encode()).hexdigest(),
        "allowed_attributes": sorted(settings.privacy.allowed_attributes),
    }
