"""Characters that are not what they look like."""

# ruff: noqa: RUF001 - letters of other alphabets are meant here

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.llm.characters import one_line, visible


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("Toy Story", "Toy Story"),
        ("a &amp;lt; b", "a < b"),
        ("&#106;&#x61;ne", "jane"),
        ("this&section R&D", "this&section R&D"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07end", "red end"),
        ("a\u200bb\u00adc\ufeff", "abc"),
        ("one\r\ntwo\u2029three", "one\ntwo\nthree"),
        ("e\u0301", "é"),
    ],
)
def test_what_a_reader_sees(raw: str, seen: str) -> None:
    assert visible(raw) == seen


@pytest.mark.parametrize(
    "text",
    ["مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "こんにちは世界", "👩‍👩‍👧‍👦 🏳️‍🌈", "کتاب‌ها", "क्‍ष"],
)
def test_text_in_any_script_stays(text: str) -> None:
    assert visible(text) == text
    assert one_line(text) == text


@given(st.text())
def test_nothing_that_prints_elsewhere_is_left_in_a_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not [
        c for c in line if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} or c in "\u202e\u2066\x1b"
    ]
    assert one_line(line) == line


@given(st.text())
def test_seeing_twice_is_seeing_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)
