import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from jobs.sources import blocks, json_lines


def _read(file, wanted):
    rows, lines, refused = [], [], []
    for chunk in json_lines.read(file, wanted):
        rows += chunk.rows.to_pylist()
        lines += chunk.lines.to_pylist()
        refused += [row.where for row in chunk.refused]
    return rows, lines, refused


def test_wanted_keys_are_read_absent_ones_are_null(raw_file, wanted):
    file = raw_file("a.jsonl", '{"u": "x", "t": 1, "more": [{}]}\n{"t": 2}\n')
    assert _read(file, wanted("u", "t")) == ([{"u": "x", "t": 1}, {"u": None, "t": 2}], [1, 2], [])


def test_a_text_that_looks_like_a_date_stays_text(raw_file, wanted):
    assert _read(raw_file("a.jsonl", '{"u": "2014-01-01"}\n'), wanted("u"))[0] == [{"u": "2014-01-01"}]


@pytest.mark.parametrize("line", ['{"u": "x"', "[1]", "7", '{"u": "x"}{"u": "y"}'])
def test_a_line_that_is_no_object_is_refused_alone(raw_file, wanted, line):
    file = raw_file("a.jsonl", '{"u": "a"}\n' + line + '\n\n{"u": "b"}\n')
    assert _read(file, wanted("u")) == ([{"u": "a"}, {"u": "b"}], [1, 4], ["a.jsonl:2"])


def test_columns_of_mixed_types_become_text(raw_file, wanted):
    file = raw_file("a.jsonl", '{"u": 1}\n{"u": "a"}\n{"u": 2.0}\n{"u": {"no": 1}}\n')
    assert [row["u"] for row in _read(file, wanted("u"))[0]] == ["1", "a", "2", None]


def test_numbers_that_become_fractions_further_down_stay_numbers(raw_file, wanted, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 10)
    file = raw_file("a.jsonl", '{"r": 4}\n{"r": 4.5}\n')
    assert [row["r"] for row in _read(file, wanted("r"))[0]] == [4, 4.5]


def test_a_lone_surrogate_does_not_stop_the_file(raw_file, wanted):
    assert _read(raw_file("a.jsonl", '{"u": "a\\ud83d"}\n'), wanted("u"))[0] == [{"u": "a?"}]


def test_one_array_is_refused_with_the_remedy(raw_file, wanted):
    with pytest.raises(NightmillError, match=r"a\.json is one JSON array.*jq"):
        _read(raw_file("a.json", '[{"u": 1}]'), wanted("u"))


VALUE = st.one_of(
    st.none(), st.integers(-9, 2**70), st.text(max_size=3), st.floats(allow_nan=False), st.booleans()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(values=st.lists(VALUE, min_size=1, max_size=8), size=st.integers(5, 60))
def test_every_object_is_a_row_with_blocks_of_any_size(raw_file, wanted, values, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        text = "".join(json.dumps({"n": n, "u": v}) + "\n" for n, v in enumerate(values))
        rows, lines, refused = _read(raw_file("a.jsonl", text), wanted("n", "u"))
    assert [row["n"] for row in rows] == list(range(len(values)))
    assert (lines, refused) == (list(range(1, len(values) + 1)), [])
