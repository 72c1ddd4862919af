import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store import data_docs, gates
from feature_store.contract import FLAG, INTEGER, NUMBER, TEXT, TEXTS, TIME, VECTOR, Column, Table
from feature_store.errors import GateRefused
from feature_store.partitions import Store
from feature_store.tables import TABLES
from jobs.step import Job, execute

DS = date(1998, 1, 2)
AS_OF = datetime(1998, 1, 3, tzinfo=UTC)
ROWS = 6

TABLE = Table(
    "made_up",
    "nobody",
    "A column of every kind.",
    (
        Column("user_id", TEXT, ""),
        Column("item_id", TEXT, ""),
        Column("count", INTEGER, "", minimum=0),
        Column("share", NUMBER, "", nullable=True, minimum=0, maximum=1),
        Column("stage", TEXT, "", values=("ranker", "candidates")),
        Column("sentence", TEXT, "", max_length=10),
        Column("flag", FLAG, ""),
        Column("tags", TEXTS, ""),
        Column("vector", VECTOR, ""),
        Column("first_time", TIME, ""),
        Column("second_time", TIME, "", nullable=True),
    ),
    ("user_id", "item_id"),
    in_order=(("first_time", "second_time"),),
)


def _row(number):
    return {
        "user_id": "ann",
        "item_id": f"m{number}",
        "count": number,
        "share": None if number == 0 else 0.5,
        "stage": "ranker",
        "sentence": "ten letters"[:10],
        "flag": True,
        "tags": [] if number == 0 else ["a", "b"],
        "vector": [0.6, 0.8],
        "first_time": AS_OF,
        "second_time": None if number == 0 else AS_OF,
        "ds": DS,
        "as_of": AS_OF,
        "input_max_event_time": None if number == 0 else AS_OF - timedelta(microseconds=1),
        "generated_at": AS_OF,
        "known_at": AS_OF,
        "run_id": "run",
    }


@pytest.fixture
def check(tmp_path):
    """`check(changes, table)`: the failures of six good rows, of which some are changed by number."""

    def run(changes=None, table=TABLE, count=ROWS):
        rows = [_row(number) | (changes or {}).get(number, {}) for number in range(count)]
        schema = pa.schema([field.with_nullable(True) for field in table.schema])
        file = tmp_path / "part-00000.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
        return gates.check(table, [file], DS, "run", tmp_path / "data")

    return run


def test_good_rows_pass(check):
    assert check() == []


def test_a_table_without_rows_passes(check):
    assert check(count=0) == []


@pytest.mark.parametrize(
    ("change", "expectation", "value"),
    [
        ({"count": -1}, "expect_column_values_to_be_between(column=count, min_value=0.0)", "(count -1)"),
        ({"share": 1.5}, "expect_column_values_to_be_between(column=share, min", "(share 1.5)"),
        ({"stage": "noise"}, "expect_column_values_to_be_in_set(column=stage", "(stage noise)"),
        (
            {"sentence": "eleven here"},
            "expect_column_value_lengths_to_be_between(column=sentence",
            "(sentence eleven",
        ),
        ({"flag": None}, "expect_column_values_to_not_be_null(column=flag)", "(flag None)"),
        ({"tags": None}, "expect_column_values_to_not_be_null(column=tags)", "(tags nan)"),
        (
            {"tags": ["a", None]},
            "expect_column_values_to_be_null(column=unsound_columns)",
            "(unsound_columns tags)",
        ),
        (
            {"share": float("nan")},
            "expect_column_values_to_be_null(column=unsound_columns)",
            "(unsound_columns share)",
        ),
        (
            {"vector": [0.6, float("inf")]},
            "expect_column_values_to_be_null(column=unsound",
            "(unsound_columns vector)",
        ),
        ({"vector": [0.6]}, "expect_column_values_to_be_between(column=vector, min_value=2.0", "(vector 1)"),
        (
            {"first_time": AS_OF + timedelta(seconds=1)},
            "column_A=second_time, column_B=first_time",
            "(second_time ",
        ),
        ({"ds": DS - timedelta(days=1)}, "expect_column_values_to_be_in_set(column=ds", "(ds 1998-01-01)"),
        ({"run_id": "other"}, "expect_column_values_to_be_in_set(column=run_id", "(run_id other)"),
        (
            {"as_of": AS_OF - timedelta(seconds=1)},
            "expect_column_values_to_be_between(column=as_of",
            "(as_of 1998-01-02",
        ),
        (
            {"input_max_event_time": AS_OF},
            "column_A=as_of, column_B=input_max_event_time",
            "(as_of 1998-01-03",
        ),
        (
            {"known_at": AS_OF - timedelta(seconds=1)},
            "column_A=known_at, column_B=as_of",
            "(known_at 1998-01-02",
        ),
    ],
)
def test_each_kind_of_violation_is_caught_and_its_row_named(check, change, expectation, value):
    *failures, where = check({3: change})
    rows = f"fails on 1 of {ROWS} rows: user_id=ann item_id=m3 {value}"
    assert any(expectation in failure and rows in failure for failure in failures)
    assert "data_docs/validations/made_up/1998-01-02-run/" in where


def test_a_repeated_key_is_caught(check):
    failure, _ = check({4: {"item_id": "m3"}})
    assert failure.startswith(
        "expect_compound_columns_to_be_unique(column_list=['user_id', 'item_id']) fails on 2 of"
    )
    assert failure.endswith("user_id=ann item_id=m3; user_id=ann item_id=m3")


def test_only_the_first_rows_are_shown(check):
    failure, _ = check({number: {"count": -1} for number in range(ROWS)})
    assert "fails on 6 of 6 rows" in failure
    assert failure.count("item_id=") == gates.SHOWN_ROWS


def test_columns_that_are_missing_unknown_or_of_another_type_are_named(tmp_path):
    rows = pa.Table.from_pylist([_row(1)], TABLE.schema).drop(["flag"])
    rows = rows.set_column(rows.column_names.index("count"), "count", pa.array(["many"]))
    pq.write_table(rows.append_column("guess", pa.array([1])), tmp_path / "part-00000.parquet")
    failures = gates.check(TABLE, [tmp_path / "part-00000.parquet"], DS, "run", tmp_path)
    assert [failure.split(";")[0] for failure in failures] == [
        "column count is string, not int64",
        "column flag is missing",
        "column guess is not in the contract (feature_store/tables/)",
    ]


@pytest.mark.parametrize(
    ("event_time", "day", "fails"),
    [
        (AS_OF - timedelta(microseconds=1), DS, []),
        (AS_OF, DS, ["column_A=ds_end, column_B=event_time"]),
        (AS_OF, DS + timedelta(days=1), ["expect_column_values_to_be_between(column=ds_end"]),
    ],
)
def test_events_belong_to_their_day_and_no_day_is_after_ds(tmp_path, event_time, day, fails):
    row = {
        "user_id": "a",
        "item_id": "b",
        "event_time": event_time,
        "event_type": "e",
        "weight": 1.0,
        "ds": day,
        "ingested_at": AS_OF,
    }
    table = TABLES["interactions"]
    pq.write_table(pa.Table.from_pylist([row], table.schema), tmp_path / "part-00000.parquet")
    failures = gates.check(table, [tmp_path / "part-00000.parquet"], DS, "run", tmp_path)
    assert len(failures) == (2 if fails else 0)
    assert all(fragment in failures[0] for fragment in fails)


def test_the_site_keeps_the_page_of_every_check(check, tmp_path):
    check()
    check({3: {"count": -1}})
    site = tmp_path / "data" / data_docs.FOLDER
    checks = [json.loads(line) for line in (site / data_docs.CHECKS).read_text("utf-8").splitlines()]
    assert [bool(found["failures"]) for found in checks] == [False, True]
    assert checks[0]["page"] != checks[1]["page"]
    assert all((site / found["page"]).is_file() for found in checks)
    assert (site / "expectations" / "made_up.html").is_file()
    index = (site / "index.html").read_text("utf-8")
    assert index.index("refused</td>") < index.index("passed</td>")
    assert "user_id=ann item_id=m3 (count -1)" in index


def test_a_refused_table_leaves_what_was_published(make_settings):
    settings = make_settings()

    def write(newest):
        columns = {"user_id": ["ann"], "attributes": ["{}"], "input_max_event_time": pa.array([newest], TIME)}
        return lambda night: night.write("users", pa.table(columns))

    def twice(night):
        rows = pa.table({"user_id": ["ann", "ann"], "attributes": ["{}", None]})
        night.write("users", rows.append_column("input_max_event_time", pa.nulls(2, TIME)))

    execute(Job("good", "", (), ("users",), write(None)), DS, settings)
    before = Store(settings.data_root).published("users", DS)
    with pytest.raises(
        GateRefused, match=r"users for 1998-01-02 was not published: .* user_id=ann"
    ) as refused:
        execute(Job("bad", "", (), ("users",), twice), DS, settings)
    assert refused.value.exit_code == 3
    assert "\n" not in str(refused.value)
    assert "expect_column_values_to_not_be_null(column=attributes)" in str(refused.value)
    assert Store(settings.data_root).published("users", DS) == before
    assert [path.name for path in before.path.parent.iterdir()] == [before.run_id]


def test_every_contract_makes_a_suite_that_its_empty_table_passes(tmp_path):
    for table in TABLES.values():
        pq.write_table(table.schema.empty_table(), tmp_path / "part-00000.parquet")
        assert gates.check(table, [tmp_path / "part-00000.parquet"], DS, "run", tmp_path) == []
