"""What is taken out of a row, and how everything else is left as it is."""

# ruff: noqa: RUF001 - letters of other alphabets are meant here

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import SettingsError
from feature_store.settings import Settings
from jobs.llm.characters import visible
from jobs.llm.privacy import Redactor, listed_names, redact_all, redactor
from jobs.llm.text import inert

REDACT = Redactor(["Jane Doe", "Zoë", "田中太郎", "राम कुमार"])


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to jane.d+x@mail.example.org today", "write to [email] today"),
        ("jane&#64;example.org or ja\u200bne@example.org", "[email] or [email]"),
        ("Call 555-123-4567 or (212) 555-0123.", "Call [phone] or [phone]."),
        ("+49 30 1234567, 0044 20 7946 0958", "[phone], [phone]"),
        ("Tel: 0171 1234567", "Tel: [phone]"),
        ("тел. 8 (495) 123-45-67", "тел. [phone]"),
        ("card 4111 1111 1111 1111 or 5500-0000-0000-0004", "card [card] or [card]"),
        ("amex 378282246310005", "amex [card]"),
        ("JANE DOE's favourite; ZOË too", "[name]'s favourite; [name] too"),
        ("田中太郎さんの本", "[name]さんの本"),
        ("लेखक राम कुमार, दिल्ली", "लेखक [name], दिल्ली"),
        ("[name] and [email]", "[name] and [email]"),
    ],
)
def test_what_leads_to_a_person_is_taken_out(text: str, redacted: str) -> None:
    assert REDACT(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "SET OF 12 1999",
        "AB-4000-12",
        "1,234,567.00",
        "ISBN 978-3-16-148410-0",
        "ISBN 0-306-40615-2",
        "EAN 4006381333931",
        "1995 1996 1997",
        "10x20x30 cm, 1998-01-07 12:30:00",
        "192.168.100.200",
        "4111 1111 1111 1112",  # its last digit is wrong
        "Call Northside 777 (1948)",
        "@home with R&D",
        "مرحبا بالعالم ١٩٩٩",
        "नमस्ते दुनिया",
        "สวัสดีชาวโลก",
        "七人の侍 こんにちは",
        "👩‍👩‍👧‍👦 🏳️‍🌈 \u200fעברית\u200f",
        "Janet Doeson",
        "राम कुमारी",
    ],
)
def test_all_other_text_stays(text: str) -> None:
    assert REDACT(text) == text


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = REDACT(text)
    assert REDACT(once) == once


@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "Pd"], exclude_characters="@\uff20~&")))
def test_text_without_numbers_signatures_and_addresses_stays_in_every_script(text: str) -> None:
    assert Redactor()(text) == text


@given(st.text(alphabet=st.characters(categories=["Lo", "Mn", "So"]), max_size=20))
def test_what_stands_around_an_address_stays(text: str) -> None:
    assert Redactor()(f"{text} <jane@example.org> {text}") == visible(f"{text} <[email]> {text}")


def test_rows_are_redacted_however_deep_and_keep_their_keys() -> None:
    row = {"title": "a@b.co", "price": 4.5, "history": [{"a@b.co": ("x a@b.co",)}], "none": None}
    assert redact_all(row, Redactor()) == {
        "title": "[email]",
        "price": 4.5,
        "history": [{"a@b.co": ["x [email]"]}],
        "none": None,
    }


@pytest.mark.parametrize(
    "piece", ["<item", "a@", "1 ", "<|im_", "&amp;", "<!--", "- Jane D.\n", "von A ", "さん"]
)
def test_no_text_keeps_the_night_busy(piece: str) -> None:
    # a second is hundreds of times what they take; what grows with the square takes minutes
    started = time.process_time()
    text = inert(redact_all({"title": piece * (1_000_000 // len(piece))}, REDACT)["title"])
    assert len(text) <= 16_000
    assert time.process_time() - started < 5


def test_names_are_read_from_the_settings_file(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Jane Doe\n\n  Zoë \n", "utf-8")
    privacy = make_settings(PRIVACY__NAMES_FILE=str(names)).privacy
    assert listed_names(privacy) == ["Jane Doe", "Zoë"]
    redact = redactor(privacy)
    assert redact is not None
    assert redact("by jane doe") == "by [name]"


def test_nothing_is_redacted_where_the_settings_say_so(make_settings: Callable[..., Settings]) -> None:
    assert redactor(make_settings(PRIVACY__REDACT="false").privacy) is None


def test_a_list_of_names_that_is_not_there_is_answered_with_what_to_do(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(PRIVACY__NAMES_FILE="/nowhere/names.txt")
    with pytest.raises(SettingsError, match=r"privacy\.names_file /nowhere/names\.txt cannot be read"):
        listed_names(settings.privacy)
