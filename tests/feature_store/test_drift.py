"""The population stability index, by hand."""

from math import log

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.contract import FLAG, INTEGER, NUMBER, TEXT, TEXTS, Column, Table
from feature_store.drift import CATEGORIES, Shift, _chi_squared_999, _counts, compare, index, measured
from feature_store.tables import TABLES

TABLE = Table(
    "made_up",
    "nobody",
    "A column of every kind.",
    (
        Column("item_id", TEXT, ""),
        Column("count", INTEGER, ""),
        Column("price", NUMBER, "", nullable=True),
        Column("cold", FLAG, ""),
        Column("audience", TEXT, "", categorical=True),
        Column("tags", TEXTS, ""),
        Column("title", TEXT, ""),
        Column("age_days", NUMBER, "", ages=True),
    ),
    ("item_id",),
)


@pytest.fixture
def psi(tmp_path):
    """`psi(column, earlier, now)`: the index of one column between two lists of values."""

    def run(column, earlier, now):
        contract = next(c for c in TABLE.columns if c.name == column)
        files = []
        for name, values in (("earlier", earlier), ("now", now)):
            files.append(tmp_path / f"{name}.parquet")
            pq.write_table(pa.table({column: pa.array(values, contract.type)}), files[-1])
        return compare(TABLE, files[:1], files[1:])[column].psi

    return run


def test_the_index_is_the_sum_over_bins():
    # shares .5 .5 earlier, .8 .2 now
    assert index([(50, 80), (50, 20)]).psi == pytest.approx(0.3 * log(0.8 / 0.5) - 0.3 * log(0.2 / 0.5))
    # twice as many rows in the same shares
    assert index([(10, 20), (30, 60)]).psi == 0


def test_an_empty_bin_counts_as_half_a_row():
    expected = (0.1 - 0.05) * log(0.1 / 0.05) + (0.9 - 1) * log(0.9 / 1)
    assert index([(0, 1), (10, 9)]).psi == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)).filter(any), min_size=1))
def test_the_index_is_never_negative_and_has_no_direction(bins):
    if not all(map(sum, zip(*bins, strict=True))):
        return
    there, back = index(bins).psi, index([(after, before) for before, after in bins]).psi
    assert there == pytest.approx(back)
    assert there >= -1e-12


@pytest.mark.parametrize(("freedom", "point"), [(0, 0), (1, 10.828), (9, 27.877), (20, 45.315)])
def test_chance_is_chi_squared(freedom, point):
    assert _chi_squared_999(freedom) == pytest.approx(point, rel=0.04)


def test_a_shift_counts_only_beyond_chance():
    assert Shift(0.3, 0.1).exceeds(0.25)
    assert not Shift(0.3, 0.4).exceeds(0.25)
    assert not Shift(0.2, 0.1).exceeds(0.25)


def test_numbers_are_binned_at_the_deciles_of_the_earlier_partition(psi):
    earlier = [float(n) for n in range(100)]
    # every second value: the deciles hold as many of them
    assert psi("price", earlier, earlier[::2]) == 0
    # the upper half, twice: five bins are empty and five hold twice their share
    expected = 5 * ((0.005 - 0.1) * log(0.005 / 0.1) + (0.2 - 0.1) * log(0.2 / 0.1))
    assert psi("price", earlier, earlier[50:] * 2) == pytest.approx(expected)
    # outer bins are open
    assert psi("price", earlier, [n - 1000 if n < 10 else n for n in earlier]) == 0


def test_a_frequent_value_has_a_bin_of_its_own(psi):
    # .9 of it, and then .6: no decile lies between 7 and 7
    expected = (0.6 - 0.9) * log(0.6 / 0.9) + (0.4 - 0.1) * log(0.4 / 0.1)
    assert psi("count", [7] * 90 + [3] * 10, [7] * 60 + [3] * 40) == pytest.approx(expected)
    moved = 2 * (1 - 0.05) * log(1 / 0.05)
    assert psi("count", [7] * 10, [8] * 10) == pytest.approx(moved)
    assert psi("count", [7] * 10, [6] * 10) == pytest.approx(moved)


VALUES = st.lists(st.none() | st.floats(-1e300, 1e300) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@settings(max_examples=60)
@given(VALUES, VALUES)
def test_every_row_is_in_one_bin_and_rows_against_themselves_are_still(earlier, now):
    price = Column("price", NUMBER, "", nullable=True)
    with duckdb.connect() as connection:
        for name, values in (("earlier", earlier), ("now", now)):
            connection.execute(f"CREATE TABLE {name} AS SELECT unnest($v::DOUBLE[]) AS price", {"v": values})
        bins = _counts(connection, price)
        assert [sum(rows) for rows in zip(*bins, strict=True)] == [len(earlier), len(now)]
        connection.execute("DROP TABLE now; CREATE TABLE now AS FROM earlier")
        assert index(_counts(connection, price)).psi == 0


def test_nulls_are_a_bin_of_their_own(psi):
    expected = (0.2 - 0.5) * log(0.2 / 0.5) + (0.8 - 0.5) * log(0.8 / 0.5)
    for column, value in (("price", 1.0), ("audience", "kids"), ("tags", ["a"])):
        missing = [] if column == "tags" else None
        earlier, now = [value] * 5 + [missing] * 5, [value] * 8 + [missing] * 2
        assert psi(column, earlier, now) == pytest.approx(expected), column
    assert psi("price", [None] * 4, [None] * 9) == 0


def test_flags_and_elements_of_lists_are_counted(psi):
    expected = (0.2 - 0.5) * log(0.2 / 0.5) + (0.8 - 0.5) * log(0.8 / 0.5)
    assert psi("cold", [True] * 5 + [False] * 5, [True] * 2 + [False] * 8) == pytest.approx(expected)
    # four elements in two rows against ten in three
    tags = [["a", "b", "b", "b"], ["b", "b", "b"], ["a", "b", "b"]]
    assert psi("tags", [["a", "b"], ["a", "b"]], tags) == pytest.approx(expected)


def test_rare_categories_are_one_bin(psi):
    frequent = [f"f{n}" for n in range(CATEGORIES + 1)] * 2
    rare = [f"r{n}" for n in range(10)]
    others = [f"s{n}" for n in range(10)]
    assert psi("audience", frequent + rare, frequent + others) == 0


def test_an_empty_partition_is_not_compared_and_a_new_column_is_left_out(tmp_path):
    rows = pa.table({"count": pa.array([1, 2], INTEGER)})
    pq.write_table(rows, tmp_path / "one.parquet")
    pq.write_table(rows.slice(0, 0), tmp_path / "none.parquet")
    pq.write_table(rows.append_column("cold", pa.array([True, False])), tmp_path / "more.parquet")
    one, none, more = ([tmp_path / f"{name}.parquet"] for name in ("one", "none", "more"))
    assert compare(TABLE, one, none) == compare(TABLE, none, one) == compare(TABLE, [], one) == {}
    assert {name: shift.psi for name, shift in compare(TABLE, one, more).items()} == {"count": 0}


def test_what_is_measured_follows_from_the_contract():
    assert [c.name for c in measured(TABLE)] == ["count", "price", "cold", "audience", "tags"]
    assert "llm_tags" in [c.name for c in measured(TABLES["item_features"])]
