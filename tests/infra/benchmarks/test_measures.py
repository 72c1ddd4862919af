"""Rows of a benchmark, for people and for programs."""

import json

from feature_store.settings import load_settings
from infra.benchmarks.measures import Row, environment, render

ROWS = [
    Row("tokens_per_second_vs_bare", 198.0, 200.0, "tokens/s"),
    Row("unchanged_night_share", 0.0125, None, "share"),
    Row("nothing", 1.0, 0.0, "s"),
]


def test_a_ratio_is_ours_by_peer_or_the_value_itself():
    assert [row.ratio for row in ROWS] == [0.99, 0.0125, float("inf")]


def test_json_has_every_row_and_the_environment():
    found = json.loads(render(ROWS, {"cores": 2}, "json"))
    assert found["environment"] == {"cores": 2}
    assert found["rows"][0] == {
        "measure": "tokens_per_second_vs_bare",
        "ours": 198.0,
        "peer": 200.0,
        "ratio": 0.99,
        "unit": "tokens/s",
    }
    assert (found["rows"][1]["peer"], found["rows"][1]["ratio"]) == (None, 0.0125)
    assert found["rows"][2]["ratio"] is None


def test_the_table_lines_numbers_up():
    text = render(ROWS[:2], {"cores": 2}, "table")
    assert text.splitlines() == [
        "measure                      ours   peer   ratio  unit",
        "-------------------------  ------  -----  ------  --------",
        "tokens_per_second_vs_bare   198.0  200.0    0.99  tokens/s",
        "unchanged_night_share      0.0125      -  0.0125  share",
        "",
        "cores: 2",
    ]


def test_the_environment_names_hardware_versions_and_models():
    found = environment(load_settings({}))
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0
    assert found["model"] == "smollm2-135m-instruct"
    assert {"cpu", "gpu", "python", "vllm", "torch", "duckdb", "pyarrow"} <= set(found)
