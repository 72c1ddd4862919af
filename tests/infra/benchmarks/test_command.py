"""`nightmill bench`: a benchmark of one fake measure, run as the command runs real ones."""

import json
import os
import sys
from types import SimpleNamespace

import pytest

from feature_store.errors import NightmillError, UsageError
from infra.benchmarks import command
from infra.benchmarks.measures import Row
from jobs import cli


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark named `generation`; what it was given is recorded."""
    seen = {}

    def run(settings, say):
        seen.update(root=settings.data_root, engine=settings.generation.engine, environ=dict(os.environ))
        (settings.data_root / "scratch").mkdir()
        say("measuring")
        return [Row("seconds", 1.0, 2.0, "s")]

    monkeypatch.setitem(sys.modules, "infra.benchmarks.generation", SimpleNamespace(run=run))
    monkeypatch.setattr(command, "require_prepared", lambda settings: None)
    return seen


def test_it_prints_rows_and_says_what_it_does(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path / "mine"))
    cli.run(["bench", "generation", "--format", "json"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["rows"] == [{"measure": "seconds", "ours": 1.0, "peer": 2.0, "unit": "s", "ratio": 0.5}]
    assert "vllm" in found["environment"]
    assert "measuring" in printed.err


def test_it_works_in_a_data_root_of_its_own_that_is_gone_afterwards(benchmark, monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("NIGHTMILL_SOURCE__LOCATION", "/somewhere")
    monkeypatch.setenv("NIGHTMILL_GENERATION__ENGINE", "fake")
    cli.run(["bench", "generation"])
    assert benchmark["root"] != tmp_path / "mine"
    assert not benchmark["root"].exists()
    assert list((tmp_path / "mine").iterdir()) == []
    assert benchmark["engine"] == "server"
    assert benchmark["environ"]["NIGHTMILL_DATA"] == str(benchmark["root"])
    assert "NIGHTMILL_SOURCE__LOCATION" not in benchmark["environ"]
    assert os.environ["NIGHTMILL_DATA"] == str(tmp_path / "mine")


def test_models_that_are_not_prepared_are_named(make_settings, tmp_path):
    settings = make_settings().model_copy(update={"cache_root": tmp_path / "empty"})
    with pytest.raises(NightmillError, match=r"smollm2-135m-instruct is not in .* `nightmill prepare` first"):
        command.require_prepared(settings)


def test_an_unknown_benchmark_is_wrong_usage():
    with pytest.raises(UsageError, match="generation"):
        cli.run(["bench", "speed"])
