import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from jobs.sources import blocks, delimited
from jobs.sources.delimited import Dialect

CSV = Dialect(",", quoted=True)


def _read(file, wanted, dialect=CSV):
    rows, lines, refused = [], [], []
    for chunk in delimited.read(file, wanted, dialect):
        rows += [tuple(row.values()) for row in chunk.rows.to_pylist()]
        lines += chunk.lines.to_pylist()
        refused += [(row.where, row.problem) for row in chunk.refused]
    return rows, lines, refused


def test_only_wanted_columns_are_read_all_of_them_as_text(raw_file, wanted):
    file = raw_file("a.csv", "id,x,name\r\n007,1,Bond\r\n")
    assert _read(file, wanted("name", "id")) == ([("007", "Bond")], [2], [])


def test_a_line_with_the_wrong_number_of_fields_is_refused_alone(raw_file, wanted):
    file = raw_file("a.csv", "x,y\n1,2\n3\n\n4,5,6\n7,8\n")
    rows, lines, refused = _read(file, wanted("x", "y"))
    assert (rows, lines) == ([("1", "2"), ("7", "8")], [2, 6])
    assert refused == [("a.csv:3", "1 fields, not 2"), ("a.csv:5", "3 fields, not 2")]


def test_a_field_in_quotes_may_hold_delimiter_quote_and_newline(raw_file, wanted):
    file = raw_file("a.csv", 'x,y\n1,"a, ""b""\nc"\n2,d\n')
    assert _read(file, wanted("x", "y")) == ([("1", 'a, "b"\nc'), ("2", "d")], [2, 4], [])


def test_a_quote_that_is_never_closed_costs_its_own_line_only(raw_file, wanted):
    file = raw_file("a.csv", 'x,y\n1,2\n3,"4\n5,6\n')
    rows, _, refused = _read(file, wanted("x", "y"))
    assert rows == [("1", "2"), ("5", "6")]
    assert refused == [("a.csv:3", "a quote is never closed")]


def test_without_quoting_a_quote_is_a_character(raw_file, wanted):
    file = raw_file("a.tsv", '1\t"a\n2\tb"\n')
    assert _read(file, wanted("y"), Dialect("\t", names=("x", "y")))[0] == [('"a',), ('b"',)]


def test_a_delimiter_of_two_characters(raw_file, wanted):
    file = raw_file("a.dat", "1::A: B::c\n2::x\n")
    rows, _, refused = _read(file, wanted("y"), Dialect("::", names=("x", "y", "z")))
    assert (rows, refused) == ([("A: B",)], [("a.dat:2", "2 fields, not 3")])


def test_a_repeated_header_is_refused(raw_file, wanted):
    with pytest.raises(NightmillError, match=r"a\.csv: the header names x twice"):
        _read(raw_file("a.csv", "x,x\n1,2\n"), wanted("x"))


def test_a_header_alone_gives_its_columns_and_no_row(raw_file, wanted):
    (chunk,) = delimited.read(raw_file("a.csv", "x,y\n"), wanted("x"), CSV)
    assert (chunk.rows.num_rows, tuple(chunk.columns)) == (0, ("x", "y"))


CELL = st.text(st.sampled_from('ab ,"\nñ'), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), size=st.integers(1, 30))
def test_what_a_csv_writer_writes_is_read_again_in_blocks_of_any_size(raw_file, wanted, rows, size):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("x", "y"), *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        found, _, refused = _read(raw_file("a.csv", text.getvalue()), wanted("x", "y"))
    assert (found, refused) == (rows, [])
