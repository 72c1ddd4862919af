"""Whose row it is: users whose ids are numbers, as items' are, and rows of every kind."""

import json

import pyarrow as pa
import pytest

from feature_store.contract import QUARANTINE_SCHEMA
from feature_store.tables import TABLES
from jobs.forgetting.people import People, distinctive, key_columns, user_column
from jobs.recommender.synthetic import Question

PEOPLE = People(frozenset({"196", "a|b"}), "member")


def test_a_table_says_whose_its_rows_are_and_which_answers_are_behind_them():
    assert user_column(TABLES["candidates"]) == "user_id"
    assert user_column(TABLES["lifetimes"]) == "entity_id"
    assert user_column(TABLES["items"]) is None
    assert key_columns(TABLES["synthetic_interactions"]) == ["generation_key", "other_generation_key"]
    assert key_columns(TABLES["candidates"]) == []


def test_an_item_of_the_same_number_is_nobody():
    rows = pa.table({"entity": ["user", "item", "user"], "entity_id": ["196", "196", "19"]})
    assert PEOPLE.rows("lifetimes", rows).to_pylist() == [True, False, False]
    events = pa.table({"user_id": ["1", "196"], "item_id": ["196", "1"]})
    assert PEOPLE.rows("interactions", events).to_pylist() == [False, True]
    assert PEOPLE.rows("items", pa.table({"item_id": ["196"]})).to_pylist() == [False]


@pytest.mark.parametrize(
    ("job", "entity", "raw", "theirs"),
    [
        ("profile_users", "196", "{", True),
        ("profile_items", "196", "{", False),
        ("simulate_cold_start", Question("196", "1", "2").entity(True), "", True),
        ("simulate_cold_start", Question("1", "196", "2", "check").entity(True), "", False),
        ("simulate_cold_start", Question("a|b", "1", "2", "check").entity(False), "", True),
        ("simulate_cold_start", Question("a", "b", "2").entity(False), "", False),
        ("ingest", "f:3", json.dumps({"member": " 196", "film": "1"}), True),
        ("ingest", "f:3", json.dumps({"member": 196.0, "film": "1"}), True),
        ("ingest", "f:3", json.dumps({"member": "1", "film": "196"}), False),
        # A repeated row of users, under the names of the table.
        ("ingest", "f:3", json.dumps({"user_id": "196", "attributes": "{}"}), True),
        # A row of items, and one read when the column had another name.
        ("ingest", "f:3", json.dumps({"film": "196"}), False),
        ("ingest", "f:3", json.dumps({"visitor": "a|b"}), False),
        ("ingest", "f:3", "", False),
    ],
)
def test_a_refused_row_is_theirs_by_what_was_asked_or_read(job, entity, raw, theirs):
    row = dict.fromkeys(QUARANTINE_SCHEMA.names) | {"job": job, "entity_id": entity, "raw": raw}
    assert PEOPLE.refused(pa.table({name: [value] for name, value in row.items()})).to_pylist() == [theirs]


def test_an_id_that_can_be_nothing_else_is_found_under_any_name():
    people = People(frozenset({"visitor-4711"}), "member")
    row = {"job": "ingest", "entity_id": "f:3", "raw": json.dumps({"visitor": "visitor-4711"})}
    assert people.refused(pa.table({name: [value] for name, value in row.items()})).to_pylist() == [True]
    assert [distinctive(user) for user in ("visitor-4711", "4711", "ann", "anne")] == [
        True,
        False,
        False,
        True,
    ]
