import json

import pytest

from feature_store.errors import SettingsError

EVENTS = "user,item,time\nann,a,2020-01-01\nann,z,2020-01-02\n"
USERS = "user,job,age\nann,cook,24\nann,smith,24\neve,clerk,30\n"


def _items(raw):
    return {row["item_id"]: row for row in raw.items.to_pylist()}


def test_fields_are_mapped_and_what_has_events_only_gets_a_bare_row(read):
    items = "item,title,text,cats,price,year\na,Apple,Red,fruit; food ;,$1.50,1999\nb,,,,,\n"
    raw = read(
        {"interactions.csv": EVENTS, "items.csv": items},
        SOURCE__DESCRIPTION="text",
        SOURCE__CATEGORIES="cats",
        SOURCE__CATEGORIES_SEPARATOR=";",
        SOURCE__PRICE="price",
        SOURCE__ITEM_ATTRIBUTES='["year"]',
    )
    bare = {"description": None, "categories": [], "price": None, "attributes": "{}"}
    assert _items(raw) == {
        "a": {
            "item_id": "a",
            "title": "Apple",
            "description": "Red",
            "categories": ["fruit", "food"],
            "price": 1.5,
            "attributes": '{"year": "1999"}',
        },
        "b": {"item_id": "b", "title": "b"} | bare,
        "z": {"item_id": "z", "title": "z"} | bare,
    }


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
    assert read(files).users.to_pylist() == [{"user_id": "ann", "attributes": "{}"}]
    raw = read(files, SOURCE__USER_ATTRIBUTES='["job"]')
    assert raw.users.to_pylist() == [{"user_id": "ann", "attributes": '{"job": "smith"}'}]
    assert "24" not in json.dumps([row.raw for row in raw.refused])


@pytest.mark.parametrize("name", ["age", "user_age", "Gender", "sexual_orientation", "Age group"])
def test_protected_columns_are_refused(read, name):
    with pytest.raises(SettingsError, match="protected attribute"):
        read({"interactions.csv": EVENTS}, SOURCE__USER_ATTRIBUTES=json.dumps([name]))
