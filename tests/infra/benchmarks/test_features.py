"""The benchmark of the as-of join, small: both engines join the same rows, and other rows are noticed."""

import duckdb
import pytest

from infra.benchmarks import asof_join, features, made_history
from infra.benchmarks.processes import side


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A hundredth of a hundredth of the full size: 1,000 events."""
    folder = tmp_path_factory.mktemp("history")
    made_history.write(folder, 0.0001)
    return folder


@pytest.mark.spark
def test_spark_and_duckdb_join_the_same_rows(history):
    for task in ("ours", "duckdb"):
        found = side("asof_join", task, root=str(history), output=str(history / task), rounds=1)
        assert found["seconds"] > 0
        assert 0 < found["peak_gib"] < 4
    ours = features.content(history / "ours")
    assert ours == features.content(history / "duckdb")
    assert ours[0] == made_history.LABELS * 0.0001
    entity, name = asof_join.FEATURES[0]
    with duckdb.connect() as connection:
        known = f"SELECT count({entity}_{name}) FROM '{history}/ours/*.parquet'"
        ((joined,),) = connection.execute(known).fetchall()
    assert 0 < joined < ours[0]


def test_one_other_value_is_another_content(history, tmp_path):
    labels = f"'{history}/labels.parquet'"
    values = ", ".join(f"0 AS {entity}_{name}" for entity, name in asof_join.FEATURES)
    contents = []
    for number, change in enumerate(("row_id", "row_id", "row_id + (row_id = 7)::INTEGER")):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (SELECT {change} AS row_id, * EXCLUDE (row_id), {values} FROM "
                f"(FROM {labels} UNION ALL BY NAME SELECT 7 AS row_id) ORDER BY random()) "
                f"TO '{folder}/part.parquet'"
            )
        contents.append(features.content(folder))
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(("power", "factor"), [(1.0, 2.0), (1.1, 0.5), (2.0, 7.0)])
def test_the_exponent_of_a_power_is_that_power(power, factor):
    assert features.exponent({n: factor * n**power for n in (0.1, 0.3, 1, 3)}) == pytest.approx(power)
