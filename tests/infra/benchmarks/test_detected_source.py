"""Columns of a folder nobody described: names, empty columns, events against items, what is missing."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from infra.benchmarks.detected_source import detect
from infra.benchmarks.quality_sets import environ
from jobs.sources import tables

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENTS = {"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [NOON, NOON]}
ITEMS = {"item_id": ["x", "y"], "title": ["Cup", "Saucer"]}


def write(folder, events=EVENTS, items=ITEMS):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(events), folder / "interactions.parquet")
    pq.write_table(pa.table(items), folder / "items.parquet")
    return folder


@pytest.fixture
def source(tmp_path):
    """`source(events, items)`: the settings detected for a folder of such tables."""

    def found(events=EVENTS, items=ITEMS):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        return detect(write(tmp_path / "shop", events, items), scratch)

    return found


def read(detected):
    return tables.read(load_settings(environ(detected.source)))


def test_plain_names(source):
    found = source()
    expected = {"user": "user_id", "item": "item_id", "time": "timestamp", "value": "", "event": ""}
    assert expected.items() <= found.source.items()
    assert {"title": "title", "price": "", "categories": ""}.items() <= found.source.items()
    assert found.notes == ["items have no description, categories, price, brand"]


def test_other_names_numbers_as_ids_and_epochs_are_read(source):
    seconds = int(NOON.timestamp())
    events = {"UserID": [1, 2], "MovieId": [7, 8], "ts": [seconds, seconds + 1], "Rating": [4.0, 5.0]}
    items = {"movieId": [7, 8], "Name": ["Cup", "Saucer"], "Genres": ["Tea|Cups", "Tea"], "price": [2.5, 1.0]}
    raw = read(source(events, items))
    assert raw.events.sort_by("user_id").to_pylist() == [
        {"user_id": "1", "item_id": "7", "event_time": NOON, "event_type": "event", "weight": 4.0},
        {
            "user_id": "2",
            "item_id": "8",
            "event_time": NOON.replace(second=1),
            "event_type": "event",
            "weight": 5.0,
        },
    ]
    rows = raw.items.sort_by("item_id").to_pylist()
    assert [(r["item_id"], r["title"], r["categories"], r["price"]) for r in rows] == [
        ("7", "Cup", ["Tea", "Cups"], 2.5),
        ("8", "Saucer", ["Tea"], 1.0),
    ]


def test_an_empty_column_is_none(source):
    found = source(EVENTS | {"rating": pa.nulls(2, pa.float64())}, ITEMS | {"description": pa.nulls(2)})
    assert (found.source["value"], found.source["description"]) == ("", "")


@pytest.mark.parametrize("values", [[1.0, -1.0], ["5", "4"]], ids=["negative", "text"])
def test_what_is_no_strength_is_not_taken_for_one(source, values):
    assert source(EVENTS | {"rating": values}).source["value"] == ""


def test_returns_are_left_out_and_said(source):
    found = source(EVENTS | {"event": ["purchase", "Return"]})
    assert (found.source["event"], found.source["event_weights"]) == ("event", {"purchase": 1.0})
    assert "events of type Return are left out" in found.notes
    assert read(found).events["user_id"].to_pylist() == ["a"]


def test_a_column_with_a_value_for_every_event_is_no_type(source):
    events = {name: [values[0]] * 60 for name, values in EVENTS.items()}
    assert source(events | {"type": [f"session {n}" for n in range(60)]}).source["event"] == ""


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (["a|b", "c"], "|"),
        (["a, b", "c"], ","),
        (["a; b, c", "d"], ";"),
        (["a", "b"], "|"),
        ([["a"], ["b"]], "|"),
    ],
)
def test_what_parts_categories_is_seen(source, values, mark):
    assert source(items=ITEMS | {"category": values}).source["categories_separator"] == mark


def test_items_may_call_their_id_otherwise(source):
    raw = read(source(items={"id": ["x", "y"], "title": ["Cup", "Saucer"]}))
    assert sorted(raw.items["item_id"].to_pylist()) == ["x", "y"]


@pytest.mark.parametrize(
    ("file", "tables_", "said"),
    [
        ("interactions", {"events": {"who": ["a"], "item_id": ["x"], "timestamp": [NOON]}}, "user"),
        ("interactions", {"events": EVENTS | {"timestamp": pa.nulls(2, pa.int64())}}, "time"),
        ("items", {"items": {"title": ["Cup"]}}, "item"),
    ],
)
def test_what_is_missing_is_named_with_its_file(source, file, tables_, said):
    with pytest.raises(
        NightmillError, match=rf"{file}\.parquet has no column with the {said} \(such as .*it has"
    ):
        source(**tables_)


def test_a_file_that_is_missing_or_broken_is_named(tmp_path):
    folder = write(tmp_path / "shop")
    (folder / "items.parquet").write_text("no parquet")
    with pytest.raises(NightmillError, match=r"cannot read .*items\.parquet"):
        detect(folder, tmp_path)
    (folder / "items.parquet").unlink()
    with pytest.raises(NightmillError, match=r"there is no .*items\.parquet"):
        detect(folder, tmp_path)


def test_settings_become_variables_that_load():
    found = environ({"user": "123", "event_weights": {"buy": 1.0}, "item_attributes": []})
    assert json.loads(found["NIGHTMILL_SOURCE__USER"]) == "123"
    source = load_settings(found).source
    assert (source.user, source.event_weights, source.item_attributes) == ("123", {"buy": 1.0}, ())


def test_some_events_without_a_user_are_left_out_but_not_most_of_them(source):
    events = {"user_id": ["a", None, "b"], "item_id": ["x", "x", "y"], "timestamp": [NOON] * 3}
    raw = read(source(events))
    assert (raw.events.num_rows, [row.problem for row in raw.refused]) == (2, ["user_id is empty"])


def test_when_next_to_nothing_can_be_read_it_says_why(source):
    found = source(EVENTS | {"timestamp": ["31/12/2023", "30/12/2023"]})
    with pytest.raises(NightmillError, match=r"2 of 2 rows of interactions cannot be used.*time_format"):
        read(found)
