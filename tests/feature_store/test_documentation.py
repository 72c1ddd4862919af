"""docs/features.md is what the contracts and the transforms' headers say."""

import pytest

from feature_store.contract import INTEGER, NUMBER, TEXT, TEXTS, TIME, VECTOR, Column
from feature_store.documentation import PAGE, TRANSFORMS, _columns, header, render, type_name
from feature_store.tables import TABLES


def test_the_page_is_what_the_contracts_generate() -> None:
    assert PAGE.read_text("utf-8") == render(), "run `make docs` and commit docs/features.md"


def test_every_table_and_column_is_on_the_page() -> None:
    page = render()
    for table in TABLES.values():
        section = page.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        assert table.doc in section
        for column in table.columns:
            assert f"| `{column.name}` | {type_name(column.type)} | {column.doc}" in section


@pytest.mark.parametrize("path", sorted(TRANSFORMS.glob("*.sql")), ids=lambda path: path.stem)
def test_every_transform_states_its_grain_and_what_it_reads(path) -> None:
    stated = header(path.read_text("utf-8"))
    assert stated.summary
    assert {"Grain", "Reads"} <= stated.facts.keys()


def test_a_header_is_a_summary_facts_and_remarks() -> None:
    found = header(
        "-- pairs: what is known,\n"
        "-- and when.\n"
        "-- Grain    one row a pair\n"
        "-- As of    the newest row,\n"
        "--          or none\n"
        "-- Sums run over decimals.\n"
        "SELECT 1 -- Reads    nothing\n"
    )
    assert found.summary == "what is known, and when."
    assert found.facts == {"Grain": "one row a pair", "As of": "the newest row, or none"}
    assert found.remarks == "Sums run over decimals."


def test_columns_say_type_unit_origin_and_what_the_gate_accepts() -> None:
    table = _columns(
        [
            Column("share", NUMBER, "a | b", True, 0, 1),
            Column("age", INTEGER, "age", minimum=0, unit="days"),
            Column("said", TEXT, "said", max_length=9, values=("a", "b"), from_model=True),
            Column("tags", TEXTS, "tags", nullable=True),
        ]
    )
    assert table.splitlines()[2:] == [
        r"| `share` | number | a \| b | 0 to 1 or null |",
        "| `age` | integer | age (days) | ≥ 0 |",
        "| `said` | text | said; from the model | `a`, `b` at most 9 characters |",
        "| `tags` | list of texts | tags | may be null |",
    ]
    assert (type_name(VECTOR), type_name(TIME)) == ("vector", "time, UTC")
