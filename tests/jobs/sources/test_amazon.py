"""Reviews and metadata made up by hand, in the layouts of the three editions."""

import json

import pytest

from jobs.sources.amazon import clean, cost, literal

REVIEWS = [
    {
        "reviewerID": "A1",
        "asin": "B1",
        "reviewerName": "Jane Doe",
        "overall": 5.0,
        "unixReviewTime": 1388534400,
    },
    {
        "reviewerID": "A2",
        "asin": "B2",
        "reviewerName": "J. Roe",
        "overall": 2.0,
        "unixReviewTime": 1388620800,
    },
]
LINES = "".join(json.dumps(row | {"helpful": [0, 1], "reviewText": "by Jane"}) + "\n" for row in REVIEWS)
# Metadata of 2014 are what Python prints of a dictionary.
META_2014 = [
    {
        "asin": "B1",
        "title": 'Men\'s "Best" Cup &amp; Saucer',
        "price": 12.5,
        "salesRank": {"Kitchen": 7},
        "categories": [["Home", "Kitchen"], ["Home", "Gifts"]],
        "description": "A <b>cup</b>.",
        "brand": "Acme",
    },
    {"asin": "B2", "imUrl": "http://x/y.jpg"},
]
META_2018 = [
    {
        "asin": "B1",
        "title": "Cup",
        "price": "$5.99 - $12.49",
        "category": ["Home", "</span></span>", "Kitchen"],
        "description": ["One.", "", "Two."],
        "main_cat": "Home",
        "brand": "",
        "details": {"Weight:": "1 pound"},
    },
    {
        "asin": "B2",
        "title": "var aPageStart = (new Date()).getTime();",
        "price": ".a-box{color:#fff}",
        "category": [],
    },
]
REVIEW_2023 = {
    "rating": 4.0,
    "title": "Nice",
    "text": "x",
    "asin": "B1v",
    "parent_asin": "B1",
    "user_id": "U1",
}
META_2023 = {
    "main_category": "All Beauty",
    "title": "Soap",
    "features": ["Mild"],
    "description": [],
    "price": None,
    "store": "Acme",
    "categories": ["Bath"],
    "details": {"UPC": "1"},
    "parent_asin": "B1",
}


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _events(raw):
    return [tuple(row.values()) for row in raw.events.sort_by("event_time").to_pylist()]


def _items(raw):
    return {row.pop("item_id"): row for row in raw.items.to_pylist()}


def test_2014_with_metadata_as_python_literals(read):
    meta = "".join(f"{row!r}\n" for row in META_2014)
    raw = read({"reviews_Home_5.json.gz": LINES, "meta_Home.json.gz": meta}, profile="amazon_2014")
    assert [(user, item, at.isoformat(), weight) for user, item, at, _, weight in _events(raw)] == [
        ("A1", "B1", "2014-01-01T00:00:00+00:00", 5.0),
        ("A2", "B2", "2014-01-02T00:00:00+00:00", 2.0),
    ]
    items = _items(raw)
    assert items["B1"] == {
        "title": 'Men\'s "Best" Cup & Saucer',
        "description": "A cup .",
        "categories": ["Home", "Kitchen", "Gifts"],
        "price": 12.5,
        "brand": "Acme",
        "attributes": '{"brand": "Acme"}',
        "listed": True,
        "input_max_event_time": None,
    }
    assert (items["B2"]["title"], items["B2"]["price"], items["B2"]["attributes"]) == ("B2", None, "{}")


def test_2018_with_scraped_prices_titles_and_categories(read):
    raw = read({"Home_5.json.gz": LINES, "meta_Home.json.gz": _lines(META_2018)}, profile="amazon_2018")
    items = _items(raw)
    assert items["B1"] == {
        "title": "Cup",
        "description": "One. Two.",
        "categories": ["Home", "Kitchen"],
        "price": 5.99,
        "brand": None,
        "attributes": '{"main_category": "Home"}',
        "listed": True,
        "input_max_event_time": None,
    }
    assert (items["B2"]["title"], items["B2"]["price"]) == ("B2", None)
    assert len(_events(raw)) == 2


def test_2023_in_milliseconds_by_parent(read):
    review = REVIEW_2023 | {"timestamp": 1675209600000, "verified_purchase": True}
    raw = read(
        {"Beauty.jsonl.gz": _lines([review]), "meta_Beauty.jsonl.gz": _lines([META_2023])},
        profile="amazon_2023",
    )
    ((user, item, at, _, weight),) = _events(raw)
    assert (user, item, at.isoformat(), weight) == ("U1", "B1", "2023-02-01T00:00:00+00:00", 4.0)
    assert _items(raw)["B1"]["attributes"] == '{"brand": "Acme", "main_category": "All Beauty"}'


def test_what_a_reviewer_is_called_is_kept_nowhere(read):
    broken = '{"reviewerID": "A3", "reviewerName": "Jane Doe", "asin":\n'
    files = {"reviews_Home_5.json.gz": LINES + broken, "meta_Home.json.gz": f"{META_2014[0]!r}\n"}
    raw = read(files, profile="amazon_2014", SOURCE__MAX_REFUSED_SHARE="0.9")
    (refused,) = raw.refused
    assert refused.where == "reviews_Home_5.json.gz:3"
    everything = json.dumps(
        [raw.events.to_pylist(), raw.items.to_pylist(), refused.raw, refused.problem], default=str
    )
    assert "Jane" not in everything
    assert "Roe" not in everything


def test_reviewer_names_cannot_be_mapped(read):
    files = {"reviews_Home_5.json.gz": LINES, "meta_Home.json.gz": f"{META_2014[0]!r}\n"}
    with pytest.raises(Exception, match=r"source\.event = 'reviewerName' is not a column of"):
        read(files, profile="amazon_2014", SOURCE__EVENT="reviewerName")


@pytest.mark.parametrize(
    "line", ["__import__('os').system('true')", "(" * 5000, "{'a': open('/etc/passwd')}", "x"]
)
def test_nothing_in_a_literal_is_run(line):
    with pytest.raises((ValueError, SyntaxError, RecursionError, MemoryError)):
        literal(line)


@pytest.mark.parametrize(
    ("written", "expected"),
    [(3, 3.0), ("$1,299.00", 1299.0), ("from 14.99", 14.99), ("None", None), (True, None)],
)
def test_prices(written, expected):
    assert cost(written) == expected


def test_markup_is_no_text():
    assert clean(["<p>Fish&nbsp;&amp; chips</p>"]) == "Fish & chips"
    assert clean("function (x) { }") is None
    assert clean([]) is None
