"""The figures of docs/sizing.md follow from its own table of rates by its own formulas."""

import re

import pytest

from feature_store.settings import REPOSITORY, load_settings

PAGE = (REPOSITORY / "docs" / "sizing.md").read_text("utf-8")
HOUR, GIB = 3600, 2**30


def _table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def _number(text: str) -> float:
    """A figure as the page writes it: 1,234 or 55.7 G or 14 M."""
    match = re.match(r"([\d,.]+) ?([kMGT]?)", text)
    assert match, text
    return float(match[1].replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2]]


RATES = {row[0].strip("`"): _number(row[1]) for row in _table("Measured rates")}


def _expected(users: float, items: float) -> dict[str, float]:
    """What the formulas say of the first night of a catalogue; hours at the rates of the page."""
    r, requests = RATES, users + items
    read = items * r["read_item"] + users * r["read_user"]
    fresh = items * r["fresh_item"] + users * r["fresh_user"]
    written = items * r["written_item"] + users * r["written_user"]
    per_user = r["bytes_candidate"] * r["candidates"] + r["bytes_recommendation"] * r["listed"]
    per_user += (
        r["bytes_user_vector"] + r["bytes_user_features"] + r["bytes_user_profile"] + r["bytes_factors"]
    )
    per_item = (
        r["bytes_item_vector"] + r["bytes_item_features"] + r["bytes_item_profile"] + r["bytes_factors"]
    )
    return {
        "requests": requests,
        "read": read,
        "of these fresh": fresh,
        "written": written,
        "CPU hours": written / r["cpu_written"] / HOUR,
        "GPU hours": written / 1000 / HOUR,
        "GPUs": written / 1000 / HOUR / 8,
        "score hours": users * r["candidates"] / r["scored"] / HOUR,
        "GiB a night": (users * per_user + items * per_item) / GIB,
        "GiB answers": requests * r["bytes_answer"] / GIB,
    }


COLUMNS = PAGE.split("## The first night\n", 1)[1].split("\n| users", 1)[1].splitlines()[0]
NAMES = ["users", *(cell.strip() for cell in COLUMNS.strip("|").split("|") if cell.strip())]


@pytest.mark.parametrize("row", _table("The first night"), ids=lambda row: row[0])
def test_the_first_night_follows_from_the_formulas(row):
    said = dict(zip(NAMES, map(_number, row), strict=True))
    expected = _expected(said["users"], said["items"])
    assert said.keys() == expected.keys() | {"users", "items"}
    for name, value in expected.items():
        # as many digits as the page shows: two at least
        assert said[name] == pytest.approx(value, rel=0.05), name


def test_the_page_goes_up_to_a_hundred_million_users():
    assert [_number(row[0]) for row in _table("The first night")] == [1e5, 1e6, 1e7, 1e8]


@pytest.mark.parametrize("row", _table("Every other night"), ids=lambda row: row[0])
def test_every_other_night_is_its_share_of_the_first(row):
    users, share, requests, written, hours = map(_number, row)
    first = {_number(r[0]): dict(zip(NAMES, map(_number, r), strict=True)) for r in _table("The first night")}
    assert requests == pytest.approx(first[users]["requests"] * share / 100, rel=0.05)
    assert written == pytest.approx(first[users]["written"] * share / 100, rel=0.05)
    assert hours == pytest.approx(first[users]["GPU hours"] * share / 100, rel=0.05)


def test_the_rates_that_are_settings_are_those_of_the_settings():
    settings = load_settings({})
    assert RATES["candidates"] == settings.recall.candidates
    assert RATES["listed"] == settings.recommend.top
