import json
import shutil
from dataclasses import fields
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store import catalog
from feature_store.contract import GENERATIONS_SCHEMA, LEDGER_SCHEMA
from feature_store.errors import UsageError
from feature_store.partitions import Store
from feature_store.parts import add_part
from feature_store.settings import load_settings
from jobs.ingest import JOB
from jobs.llm.ledger import Entry, Ledger
from jobs.sql import query
from jobs.step import execute

from ..conftest import write_source
from ..feature_store.test_parts import another_schema, empty, garbage, truncate

DAMAGE = [truncate, empty, garbage, another_schema]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """A data root with two nights of the small source."""
    folder = tmp_path_factory.mktemp("ingested")
    source = write_source(folder / "source")
    environ = {"NIGHTMILL_DATA": str(folder / "data"), "NIGHTMILL_SOURCE__LOCATION": str(source)}
    for ds in (date(1998, 1, 1), date(1998, 1, 2)):
        execute(JOB, ds, load_settings(environ))
    return folder / "data"


@pytest.fixture
def root(ingested, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(ingested, tmp_path / "data")


def test_a_view_is_the_newest_ds_and_its_all_view_every_ds(root):
    assert query(Store(root), "SELECT count(*) n FROM users", "csv") == "n\n2"
    assert query(Store(root), "SELECT count(*) n FROM users_all", "csv") == "n\n3"
    assert query(Store(root), "SELECT count(*) n FROM interactions", "csv") == "n\n4"


def test_tables_that_are_not_published_are_empty_views_with_their_columns(root):
    assert query(Store(root), "SELECT count(*) n FROM recommendations WHERE rank = 1", "csv") == "n\n0"
    assert query(Store(root), "SELECT count(*) n FROM generations WHERE output_tokens > 0", "csv") == "n\n0"


def test_json_output(root):
    text = query(Store(root), "SELECT item_id, title FROM items WHERE item_id = 'm3'", "json")
    assert json.loads(text) == [{"item_id": "m3", "title": "Los ñandúes: «¿?»"}]


def test_times_are_written_in_utc(root):
    sql = "SELECT event_time FROM interactions ORDER BY event_time LIMIT 1"
    assert query(Store(root), sql, "csv") == "event_time\n1998-01-01 00:00:00+00:00"
    assert json.loads(query(Store(root), sql, "json")) == [{"event_time": "1998-01-01 00:00:00+00:00"}]


def test_a_table_is_drawn(root):
    assert "Toy Story" in query(Store(root), "SELECT title FROM items ORDER BY item_id LIMIT 1")


@pytest.mark.parametrize(
    "sql", ["SELECT FROM", "SELECT * FROM nothing", "DROP VIEW items", "CREATE TABLE t (a INT)"]
)
def test_a_query_that_cannot_be_run_is_one_line(root, sql):
    with pytest.raises(UsageError) as caught:
        query(Store(root), sql)
    assert "\n" not in str(caught.value)


def test_a_folder_that_moved_is_read_again_after_the_next_query(root, tmp_path):
    catalog.rewrite(Store(root))
    moved = root.rename(tmp_path / "moved [1] it's")
    with (
        duckdb.connect(str(moved / "catalog.duckdb"), read_only=True) as connection,
        pytest.raises(duckdb.IOException, match="No files found"),
    ):
        connection.sql("SELECT count(*) FROM items")
    assert query(Store(moved), "SELECT count(*) n FROM items", "csv") == "n\n4"
    with duckdb.connect(str(moved / "catalog.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM items").fetchall() == [(4,)]


def test_columns_that_an_older_night_lacks_are_null(root):
    (file,) = Store(root).published("items", date(1998, 1, 1)).files
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["price", "title"]), file)
    sql = "SELECT ds::VARCHAR ds, count(*) n, count(title) titles FROM items_all GROUP BY 1 ORDER BY 1"
    assert query(Store(root), sql, "csv") == "ds,n,titles\n1998-01-01,4,0\n1998-01-02,4,4"


def test_manifests_and_ledger_are_views(root):
    sql = """SELECT job, rows.written FROM manifests WHERE "table" = 'items' AND ds = '1998-01-02'"""
    assert query(Store(root), sql, "csv") == "job,written\ningest,4"
    assert query(Store(root), "SELECT count(*) n FROM ledger", "csv") == "n\n0"
    Ledger(root).write(Entry("1998-01-01", "profile_items", "r", "p", "m", "fake", asked=3, prompt_tokens=7))
    assert query(Store(root), "SELECT ds, asked, prompt_tokens FROM ledger", "csv") == (
        "ds,asked,prompt_tokens\n1998-01-01,3,7"
    )
    assert LEDGER_SCHEMA.names == [field.name for field in fields(Entry)]


def test_every_column_of_generations_is_there_before_the_first_answer(tmp_path):
    columns = ", ".join(GENERATIONS_SCHEMA.names)
    assert query(Store(tmp_path), f"SELECT {columns} FROM generations", "json") == "[]"


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_part_of_generations_is_set_aside(tmp_path, damage, capfd):
    folder = tmp_path / "generations" / "ask"
    row = {f.name: {"string": "x" * 64, "double": 0.0}.get(str(f.type), 0) for f in GENERATIONS_SCHEMA}
    table = pa.Table.from_pylist([row | {"cut_fields": []}], GENERATIONS_SCHEMA)
    whole, hurt = add_part(folder, table), add_part(folder, table)
    damage(hurt)
    assert (
        query(Store(tmp_path), "SELECT count(*) n FROM generations WHERE length(text) = 64", "csv") == "n\n1"
    )
    assert f"{hurt} is damaged" in capfd.readouterr().err
    assert [whole] == list(folder.glob("part-*.parquet"))
