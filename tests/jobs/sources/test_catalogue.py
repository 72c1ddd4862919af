import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from feature_store.errors import SettingsError
from jobs.sources import tables
from jobs.sources.catalogue import SINCE, with_unknown, with_unlisted

EVENTS = "user,item,time\nann,a,2020-01-01\nann,z,2020-01-02\n"
USERS = "user,job,age\nann,cook,24\nann,smith,24\neve,clerk,30\n"


def _items(raw):
    return {row["item_id"]: row for row in raw.items.to_pylist()}


def test_fields_are_mapped(read):
    items = "item,title,text,cats,price,year,maker\na,Apple,Red,fruit; food ;,$1.50,1999,Acme\nb,,,,,,\n"
    raw = read(
        {"interactions.csv": EVENTS, "items.csv": items},
        SOURCE__DESCRIPTION="text",
        SOURCE__CATEGORIES="cats",
        SOURCE__CATEGORIES_SEPARATOR=";",
        SOURCE__PRICE="price",
        SOURCE__BRAND="maker",
        SOURCE__ITEM_ATTRIBUTES='["year"]',
    )
    bare = {"description": None, "categories": [], "price": None, "brand": None, "attributes": "{}"}
    same = {"listed": True, SINCE: None}
    assert _items(raw) == {
        "a": {
            "item_id": "a",
            "title": "Apple",
            "description": "Red",
            "categories": ["fruit", "food"],
            "price": 1.5,
            "brand": "Acme",
            "attributes": '{"year": "1999"}',
        }
        | same,
        "b": {"item_id": "b", "title": "b"} | bare | same,
    }
    bare_row = {"item_id": "z", "title": "z", "listed": False, SINCE: None} | bare
    assert with_unlisted(raw.items, pa.array(["a", "z"])).to_pylist()[2:] == [bare_row]


VERSIONS = """\
item,title,since
a,First,2020-01-01
a,Third,2020-01-03
a,Second,2020-01-02
a,Second again,2020-01-02
b,Always,
c,Later,2020-01-03
"""


@pytest.mark.parametrize(
    ("day", "titles"),
    [
        (1, {"b": "Always"}),
        (2, {"a": "First", "b": "Always"}),
        (3, {"a": "Second again", "b": "Always"}),
        (4, {"a": "Third", "b": "Always", "c": "Later"}),
    ],
)
def test_of_dated_rows_the_newest_before_as_of_counts(settings_of, day, titles):
    files = {"interactions.csv": EVENTS, "items.csv": VERSIONS}
    settings = settings_of(files, SOURCE__ITEM_TIME="since")
    raw = tables.read(settings, datetime(2020, 1, day, tzinfo=UTC))
    assert {row["item_id"]: row["title"] for row in raw.items.to_pylist()} == titles
    account = raw.accounts["items"]
    assert account.read == account.kept + len(account.refused) + account.left_out + account.merged == 6
    assert len(account.refused) == (day == 3)


def test_a_date_that_is_none_is_refused_and_none_at_all_is_not(read):
    items = "item,title,since\na,Apple,soon\nb,Bread,\n"
    raw = read(
        {"interactions.csv": EVENTS, "items.csv": items},
        SOURCE__ITEM_TIME="since",
        SOURCE__MAX_REFUSED_SHARE="0.5",
    )
    assert list(_items(raw)) == ["b"]
    assert [(row.where, row.problem[:23]) for row in raw.refused] == [
        ("items.csv:2", "since is not a time of ")
    ]


def test_of_a_repeated_item_the_last_row_counts_and_the_others_stop_nothing(read):
    raw = read({"interactions.csv": EVENTS, "items.csv": "item,title\na,Old\na,New\na,Newest\n"})
    assert _items(raw)["a"]["title"] == "Newest"
    assert [(row.where, json.loads(row.raw)["title"]) for row in raw.refused] == [
        ("items.csv:2", "Old"),
        ("items.csv:3", "New"),
    ]


def test_prices_that_are_none_or_negative_are_left_empty_and_said(read):
    items = "item,title,price\na,Apple,-3\nb,Bread,ask us\nc,Cake,None\nd,Date,2\n"
    raw = read({"interactions.csv": EVENTS, "items.csv": items}, SOURCE__PRICE="price")
    assert [_items(raw)[i]["price"] for i in "abcd"] == [None, None, None, 2.0]
    assert raw.notes == ["warning: 2 prices are none and were left empty, such as '-3' in items.csv:2"]


def test_users_carry_permitted_columns_only(read):
    files = {"interactions.csv": EVENTS, "users.csv": USERS}
    assert read(files).users.to_pylist() == []
    raw = read(files, SOURCE__USER_ATTRIBUTES='["job"]')
    ann = {"user_id": "ann", "attributes": '{"job": "smith"}', SINCE: None}
    assert raw.users.to_pylist() == [ann, {"user_id": "eve", "attributes": '{"job": "clerk"}', SINCE: None}]
    known = with_unknown(raw.users, pa.array(["ann", "bob"])).to_pylist()
    assert known == [ann, {"user_id": "bob", "attributes": "{}", SINCE: None}]
    assert "24" not in json.dumps([row.raw for row in raw.refused])


@pytest.mark.parametrize("name", ["age", "user_age", "Gender", "sexual_orientation", "Age group"])
def test_protected_columns_are_refused(read, name):
    with pytest.raises(SettingsError, match="protected attribute"):
        read({"interactions.csv": EVENTS}, SOURCE__USER_ATTRIBUTES=json.dumps([name]))
