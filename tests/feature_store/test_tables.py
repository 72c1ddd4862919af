"""What holds for every contract."""

import pytest

from feature_store.tables import TABLES

COLUMNS = [(table, column) for table in TABLES.values() for column in table.columns]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda part: part.name)
def test_a_column_named_after_the_model_is_declared_as_its_work(table, column):
    assert column.from_model or not column.name.startswith("llm_")


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_keys_and_orders_name_columns_of_the_table(table):
    named = {*table.key, *(name for pair in table.in_order for name in pair)}
    assert named <= {column.name for column in table.all_columns}
