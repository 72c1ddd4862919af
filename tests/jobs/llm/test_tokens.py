"""Cutting by tokens: at the end of a word, at most the limit, and by the model's own tokenizer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from jobs.assets import ResolvedModel, resolve_model
from jobs.llm.tokens import ModelTokens, cut, tokenizer_file, word_starts


def letters(text: str) -> list[int]:
    """Every character is a token."""
    return list(range(len(text)))


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two"),
        ("one two, three", 9, "one two"),
        ("one", 2, ""),
        ("七人の侍 ", 3, "七人の"),
        ("e\u0301te\u0301 été", 5, "e\u0301te\u0301"),
        ("a 👩\u200d👩\u200d👧 b", 4, "a"),
    ],
)
def test_a_text_is_cut_where_a_word_ends(text: str, limit: int, kept: str) -> None:
    assert cut(text, limit, letters) == kept


def test_words_are_the_tokens_of_an_engine_without_a_tokenizer() -> None:
    assert cut("one two three four", 3, word_starts) == "one two three"


def test_a_short_text_needs_no_tokenizer() -> None:
    def nobody(text: str) -> list[int]:
        raise AssertionError(text)

    assert cut("Toy Story", 9, nobody) == "Toy Story"


@given(st.text(max_size=200), st.integers(1, 40))
def test_what_is_kept_is_a_beginning_within_the_limit(text: str, limit: int) -> None:
    kept = cut(text, limit, word_starts)
    assert text.startswith(kept)
    assert len(word_starts(kept)) <= limit


def test_the_model_counts_for_itself(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    tokens = ModelTokens(resolve_model(settings.generation.model, settings))
    assert tokens("Toy Story") == [0, 1, 3]  # T, oy, Story
    text = "The quick brown fox jumps over the lazy dog. " * 40
    kept = cut(text, 50, tokens)
    assert 45 <= len(tokens(kept)) <= 50
    assert text.startswith(kept + " ")
    kept = cut("七人の侍が村を守る物語です。" * 40, 50, tokens)
    assert 40 <= len(tokens(kept)) <= 50


def test_a_folder_without_a_tokenizer_is_answered_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NightmillError, match=r"has no tokenizer\.json: write it with"):
        tokenizer_file(ResolvedModel(str(tmp_path), "m", "r"))


def test_a_hub_model_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo: str, name: str, revision: str) -> str:
        raise OSError(f"{repo} {name} {revision}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(NightmillError, match="the tokenizer of org/name at main could not be fetched"):
        tokenizer_file(ResolvedModel("org/name", "org/name", "main"))
