import json
from datetime import date

import duckdb
import pyarrow as pa
import pytest

from feature_store.contract import GENERATIONS_SCHEMA
from feature_store.errors import UsageError
from feature_store.parts import add_part
from jobs.ingest import JOB
from jobs.sql import query
from jobs.step import execute

from ..feature_store.test_parts import another_schema, empty, garbage, truncate

DAMAGE = [truncate, empty, garbage, another_schema]


@pytest.fixture
def root(make_settings):
    settings = make_settings()
    execute(JOB, date(1998, 1, 1), settings)
    execute(JOB, date(1998, 1, 2), settings)
    return settings.data_root


def test_a_view_is_the_newest_ds_and_its_all_view_every_ds(root):
    assert query(root, "SELECT count(*) n FROM users", "csv") == "n\n2"
    assert query(root, "SELECT count(*) n FROM users_all", "csv") == "n\n3"
    assert query(root, "SELECT count(*) n FROM interactions", "csv") == "n\n4"


def test_tables_that_are_not_published_are_empty_views_with_their_columns(root):
    assert query(root, "SELECT count(*) n FROM recommendations WHERE rank = 1", "csv") == "n\n0"
    assert query(root, "SELECT count(*) n FROM generations WHERE output_tokens > 0", "csv") == "n\n0"


def test_json_output(root):
    text = query(root, "SELECT item_id, title FROM items WHERE item_id = 'm3'", "json")
    assert json.loads(text) == [{"item_id": "m3", "title": "Los ñandúes: «¿?»"}]


def test_a_table_is_drawn(root):
    assert "Toy Story" in query(root, "SELECT title FROM items ORDER BY item_id LIMIT 1")


@pytest.mark.parametrize(
    "sql", ["SELECT FROM", "SELECT * FROM nothing", "DROP VIEW items", "CREATE TABLE t (a INT)"]
)
def test_a_query_that_cannot_be_run_is_one_line(root, sql):
    with pytest.raises(UsageError) as caught:
        query(root, sql)
    assert "\n" not in str(caught.value)


def test_the_catalogue_opens_in_plain_duckdb(root):
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM items").fetchall() == [(4,)]


def test_every_column_of_generations_is_there_before_the_first_answer(tmp_path):
    columns = ", ".join(GENERATIONS_SCHEMA.names)
    assert query(tmp_path, f"SELECT {columns} FROM generations", "json") == "[]"


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_part_of_generations_is_set_aside(tmp_path, damage, capfd):
    folder = tmp_path / "generations" / "ask"
    row = {f.name: {"string": "x" * 64, "double": 0.0}.get(str(f.type), 0) for f in GENERATIONS_SCHEMA}
    table = pa.Table.from_pylist([row | {"cut_fields": []}], GENERATIONS_SCHEMA)
    whole, hurt = add_part(folder, table), add_part(folder, table)
    damage(hurt)
    assert query(tmp_path, "SELECT count(*) n FROM generations WHERE length(text) = 64", "csv") == "n\n1"
    assert f"{hurt} is damaged" in capfd.readouterr().err
    assert [whole] == list(folder.glob("part-*.parquet"))
