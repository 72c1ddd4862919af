"""Protected attributes: what is refused, what the source says itself, what the settings allow."""

import pytest

from feature_store.sections import PROTECTED
from jobs.llm.protected import PROTECTED_WORDS, protected


def test_every_protected_attribute_has_words() -> None:
    assert set(PROTECTED_WORDS) == PROTECTED
    assert all(PROTECTED_WORDS.values())


def test_words_count_only_where_the_text_brings_them_in() -> None:
    assert protected("A tale of women and a man.", ["Title: Little Women"]) == ["man"]
    assert protected("A humanistic romance.") == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("A 40-year-old who likes comedy.", ["year-old"]),
        ("She likes comedy.", ["she"]),
        ("Eine Frau, die Komödien mag.", ["frau"]),
        ("Une femme qui aime la comédie.", ["femme"]),
    ],
)
def test_people_are_not_described(text: str, refused: list[str]) -> None:
    assert protected(text) == refused


def test_an_attribute_the_settings_allow_may_be_spoken_of() -> None:
    text = "A catholic woman."
    assert protected(text) == ["catholic", "woman"]
    # also a word of sex, which is not allowed
    assert protected(text, allowed=["gender"]) == ["catholic"]
    assert protected(text, allowed=["religion"]) == ["woman"]
