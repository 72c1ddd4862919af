"""Card and phone numbers in a text; years, prices, sizes, codes and book numbers are not meant."""

import re
import unicodedata
from collections.abc import Iterator

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import ean, luhn

CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
# 555-123-4567, (555) 123-4567, 555.123.4567; with spaces only where the parts can be a number of a phone.
NORTH_AMERICAN = re.compile(
    r"(?<![\w.+-])(?:1[ .-])?(?:\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([.-])\d{3}\1\d{4}"
    r"|[2-9]\d\d [2-9]\d\d[ -]\d{4})(?![\w-]|\.\d)"
)
# (11) 91234-5678, 8 (495) 123-45-67
AREA_CODE = re.compile(r"(?<!\w)(?:\d )?\(0?\d{2,4}\) ?\d{3,5}(?:[ -]\d{2,4}){1,3}(?![\w-]|\.\d)")
TRUNK = re.compile(r"(?<!\w)\(?0\d{1,5}\)?[ ./-]")
# A number known for a phone's by nothing but its leading zero must be grouped as one of these groups it.
TRUNK_REGIONS = ("GB", "DE", "FR", "IT", "NL", "BE", "CH", "AT", "SE", "AU", "JP", "KR", "IN", "ID", "TR")
ANNOUNCED = re.compile(
    r"(?:\b(?:tel|phone|telephone|call|fax|mobile|whatsapp|sms|telefon|handy|t[ée]l[ée]phone|portable|tel[ée]fono"
    r"|m[óo]vil|telefone|celular|telefoon|puhelin|тел|телефон|звоните|позвоните|ara|mobil)\b|電話|电话|手机|전화"
    r"|هاتف|جوال|फ़ोन|फोन|मोबाइल|โทร|điện thoại|τηλ|טלפון|\u260e|\U0001f4de|\U0001f4f1)\W{0,4}"
    r"(?:(?:us|me|now|at|on|no|number|nr|nummer|numéro|número|is)\b\W{1,3}){0,3}"
    r"(?P<number>\(?\d(?:[ ()./-]{0,2}\d){6,14})(?![\w-])",
    re.IGNORECASE,
)


def redact_cards(text: str) -> str:
    """The text with [card] for every payment card's number: 13 to 19 digits, checked by their last one."""
    return CARD.sub(lambda match: "[card]" if _is_card(match.group()) else match.group(), text)


def _is_card(text: str) -> bool:
    digits = "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())
    # Cards begin with 2 to 6; a thirteen-digit article number may satisfy their check by chance.
    return digits[0] in "23456" and luhn.is_valid(digits) and not ean.is_valid(digits)


def redact_phones(text: str) -> str:
    """The text with [phone] for every number written as one is dialled, abroad or at home."""
    for start, end in sorted(_merged(_phones(text)), reverse=True):
        text = text[:start] + "[phone]" + text[end:]
    return text


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if "+" in text or "\uff0b" in text:
        for match in PhoneNumberMatcher(text, None, Leniency.POSSIBLE):
            yield match.start, match.end
    for pattern in (NORTH_AMERICAN, AREA_CODE):
        for found in pattern.finditer(text):
            if sum(c.isdecimal() for c in found.group()) >= 9:
                yield found.span()
    for found in ANNOUNCED.finditer(text):
        yield found.span("number")
    if TRUNK.search(text):
        for region in TRUNK_REGIONS:
            for match in PhoneNumberMatcher(text, region, Leniency.STRICT_GROUPING):
                if TRUNK.match(match.raw_string):
                    yield match.start, match.end


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
