import pytest

from feature_store import spark
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from jobs.column_origins import BY_SQL
from jobs.sql_origins import find, render

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def found():
    with spark.session(load_settings({})) as session:
        return find(session)


def test_the_page_is_what_the_transforms_say(found):
    assert BY_SQL.read_text("utf-8") == render(found), "run `python -m jobs.sql_origins`"


def test_every_origin_is_a_column_of_a_table(found):
    columns = {(table.name, column.name) for table in TABLES.values() for column in table.all_columns}
    origins = {tuple(o) for table in found.values() for made in table.values() for o in made}
    assert origins <= columns


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        # through an aggregate and a join
        ("item_features", "item_weight_mean_90d", [("interactions", "weight")]),
        # through a window function over a sub-query
        ("item_features", "item_price_percentile_category", [("items", "categories"), ("items", "price")]),
        # through a union
        (
            "lifetimes",
            "first_event_time",
            [("interactions", "event_time"), ("lifetimes", "first_event_time")],
        ),
        # through the struct of the as-of join, by `struct.*` and by name
        ("training_set", "item_price", [("item_features", "item_price")]),
        (
            "training_set",
            "pair_price_distance_90d",
            [("item_features", "item_price"), ("user_features", "user_price_median_90d")],
        ),
    ],
)
def test_columns_are_followed_to_where_they_come_from(found, table, column, expected):
    assert found[table][column] == expected
