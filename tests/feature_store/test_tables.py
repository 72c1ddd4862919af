"""What holds for every contract."""

from feature_store.tables import TABLES


def test_a_column_named_after_the_model_is_declared_as_its_work():
    named = [(t.name, c) for t in TABLES.values() for c in t.columns if c.name.startswith("llm_")]
    assert named
    assert [(table, column.name) for table, column in named if not column.from_model] == []


def test_keys_and_orders_name_columns_of_the_table():
    for table in TABLES.values():
        named = {*table.key, *(name for pair in table.in_order for name in pair)}
        assert named <= {column.name for column in table.all_columns}, table.name
