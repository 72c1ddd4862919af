from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.errors import NightmillError, SettingsError

SHOP = """\
user,item,time,type,quantity
ann,a,2020-01-01,buy,2
bob,b,2020-01-02,return,-1
bob,a,2020-01-03,view,1
"""
TYPED = {"SOURCE__EVENT": "type"}
LOOSE = {"SOURCE__MAX_REFUSED_SHARE": "0.9"}


def _events(raw):
    return [
        (r["user_id"], r["item_id"], r["event_type"], r["weight"])
        for r in raw.events.sort_by("event_time").to_pylist()
    ]


def test_without_an_event_column_every_row_is_an_event_of_weight_one(read):
    assert _events(read({"interactions.csv": SHOP})) == [
        ("ann", "a", "event", 1.0),
        ("bob", "b", "event", 1.0),
        ("bob", "a", "event", 1.0),
    ]


def test_each_type_has_its_weight_and_types_not_listed_are_left_out(read):
    raw = read(
        {"interactions.csv": SHOP}, **TYPED, SOURCE__EVENT_WEIGHTS='{"buy": 3, "return": -1, "view": 0}'
    )
    assert _events(raw) == [("ann", "a", "buy", 3.0), ("bob", "b", "return", -1.0)]
    account = raw.accounts["interactions"]
    assert (account.read, account.kept, account.left_out, account.refused) == (3, 2, 1, [])


def test_the_weight_of_a_type_multiplies_the_value_and_a_return_counts_against(read):
    raw = read(
        {"interactions.csv": SHOP},
        **TYPED,
        SOURCE__VALUE="quantity",
        SOURCE__EVENT_WEIGHTS='{"buy": 3, "return": -1}',
    )
    assert _events(raw) == [("ann", "a", "buy", 6.0), ("bob", "b", "return", -1.0)]


def test_types_that_are_not_in_the_data_are_named_with_those_that_are(read):
    with pytest.raises(SettingsError, match=r"event_weights \(Buy\); the column type has buy, return, view"):
        read({"interactions.csv": SHOP}, **TYPED, SOURCE__EVENT_WEIGHTS='{"Buy": 1}')


def test_negative_missing_and_infinite_values_are_refused_with_their_line(read):
    text = "user,item,time,stars\n" + "".join(
        f"ann,a,2020-01-0{n},{s}\n" for n, s in enumerate(("-1", "nan", "inf", "", "2"), 1)
    )
    raw = read({"interactions.csv": text}, SOURCE__VALUE="stars", **LOOSE)
    assert _events(raw) == [("ann", "a", "event", 2.0)]
    assert [(row.where, row.problem.split(" (")[0]) for row in raw.refused] == [
        ("interactions.csv:3", "stars is not a number: 'nan'"),
        ("interactions.csv:4", "stars is not a number: 'inf'"),
        ("interactions.csv:5", "stars is not a number: ''"),
        ("interactions.csv:2", "stars is negative"),
    ]


@pytest.mark.parametrize("weights", ['{"buy": NaN}', '{"buy": Infinity}', '{"buy": "much"}'])
def test_weights_in_the_settings_are_finite_numbers(read, weights):
    with pytest.raises(SettingsError, match="event_weights"):
        read({"interactions.csv": SHOP}, **TYPED, SOURCE__EVENT_WEIGHTS=weights)


def test_ids_of_only_blanks_are_refused(read):
    raw = read(
        {"interactions.csv": "user,item,time\n  ,a,2020-01-01\nann,\t,2020-01-01\nann,a,2020-01-01\n"},
        **LOOSE,
    )
    assert [(r.where, r.problem) for r in raw.refused] == [
        ("interactions.csv:2", "user is empty"),
        ("interactions.csv:3", "item is empty"),
    ]


def test_a_column_that_was_renamed_is_named_with_file_key_and_the_columns_there(read):
    with pytest.raises(
        SettingsError,
        match=r"source\.user = 'user' is not a column of .*interactions\.csv; it has uid, item, time",
    ):
        read({"interactions.csv": "uid,item,time\nann,a,2020-01-01\n"})
    with pytest.raises(SettingsError, match=r"'user' is not a column of .*\.jsonl; it has uid, item, time"):
        read({"a.jsonl": '{"uid": 1, "item": 1, "time": 1}\n'}, SOURCE__INTERACTIONS="a.jsonl")


def test_the_same_thing_at_the_same_moment_is_one_event_with_the_largest_weight(read):
    raw = read(
        {"interactions.csv": "user,item,time,n\nann,a,2020-01-01,1\nann,a,2020-01-01,3\n"}, SOURCE__VALUE="n"
    )
    assert _events(raw) == [("ann", "a", "event", 3.0)]
    assert raw.accounts["interactions"].merged == 1


def test_ids_are_the_same_text_whatever_type_a_file_gives_them(read, tmp_path):
    time = [datetime(2020, 1, 1, tzinfo=UTC)] * 2
    (tmp_path / "raw" / "interactions").mkdir(parents=True)
    pq.write_table(
        pa.table({"user": [7.0, None], "item": pa.array([1, 2]), "time": time}),
        tmp_path / "raw" / "interactions" / "a.parquet",
    )
    raw = read({"interactions/b.jsonl": '{"user": 7, "item": "1", "time": 1577923200000}\n'}, **LOOSE)
    assert [(u, i) for u, i, *_ in _events(raw)] == [("7", "1"), ("7", "1")]
    assert [(r.where, r.problem) for r in raw.refused] == [("interactions/a.parquet:2", "user is empty")]


def test_a_value_of_the_wrong_kind_throughout_stops_with_the_first_rows(read):
    text = "user,item,time\n" + "ann,a,noon\n" * 5
    with pytest.raises(
        NightmillError,
        match=r"5 of 5 rows .*max_refused_share = 0\.05.*: interactions\.csv:2 time is not a time",
    ):
        read({"interactions.csv": text})


def test_a_single_column_asks_for_the_delimiter(read):
    with pytest.raises(SettingsError, match=r"it has user;item;time \(is source\.delimiter right\?\)"):
        read({"interactions.csv": "user;item;time\nann;a;2020-01-01\n"})
    raw = read(
        {"interactions.csv": "user;item;time\nann;a;2020-01-01\n", "items.csv": "item;title\na;Apple\n"},
        SOURCE__DELIMITER=";",
    )
    assert _events(raw) == [("ann", "a", "event", 1.0)]


def test_a_single_impossible_parquet_time_is_refused_with_its_number(read, tmp_path):
    (tmp_path / "raw").mkdir()
    time = pa.array([1388534400] * 2 + [1388534400000]).cast(pa.timestamp("s"))
    table = pa.table({"user": ["ann", "bob", "eve"], "item": ["a"] * 3, "time": time})
    pq.write_table(table, tmp_path / "raw" / "interactions.parquet")
    # Parquet knows no seconds: the number comes back in milliseconds
    raw = read({}, **LOOSE)
    (refused,) = raw.refused
    assert (refused.where, "1388534400000" in refused.problem) == ("interactions.parquet:3", True)
