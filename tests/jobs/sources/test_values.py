import pyarrow as pa
import pytest

from jobs.sources.values import array, numbers, price, prices, text, texts


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([" a ", "", "  ", None]), ["a", None, None, None]),
        (pa.array([17850.0, 1.5, float("nan"), None]), ["17850", "1.5", None, None]),
        (pa.array([7, None]), ["7", None]),
        (pa.array([["a", "b"], [], None]), ["a b", None, None]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array([{"a": 1}]), [None]),
    ],
    ids=["text", "floats", "integers", "lists", "dictionary", "objects"],
)
def test_text(column, expected):
    assert text(array(column)).to_pylist() == expected


def test_numbers_are_finite_or_null():
    found = numbers(pa.array([" 5 ", "-1.5", "1e3", "nan", "inf", "0x10", "1,000", "", None, ".5", "5."]))
    assert found.to_pylist() == [5, -1.5, 1000, None, None, None, None, None, None, 0.5, 5]
    assert numbers(pa.array([1.5, float("nan"), float("inf")])).to_pylist() == [1.5, None, None]


def test_integers_stay_exact():
    assert numbers(pa.array(["1388534400000000001"])).to_pylist() == [1388534400000000001]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("$1,299.00", 1299),
        ("$5.99 - $12.49", 5.99),
        ("12,50 €", 12.5),
        ("1.299,00", 1299),
        ("1,299", 1299),
        ("USD 12", 12),
        ("£3", 3),
        ("-5.00", -5),
        ("1.234.567", 1234567),
        (".a-box-inner{background-color:#fff}", None),
        ("call us", None),
        ("", None),
        ("$", None),
        ("12 apples", None),
    ],
)
def test_prices_as_shops_write_them(written, expected):
    assert price(written) == expected


def test_a_column_of_prices():
    assert prices(pa.array(["1.5", "$2", "?", None])).to_pylist() == [1.5, 2, None, None]
    assert prices(pa.array([3, None])).to_pylist() == [3, None]


def test_lists_of_texts():
    assert texts(pa.array(["a| b |", None]), "|").to_pylist() == [["a", "b"], []]
    assert texts(pa.array([["a", " ", None], None])).to_pylist() == [["a"], []]
    assert texts(pa.array([[["Books", "Old"], ["Books"]]])).to_pylist() == [["Books", "Old"]]
