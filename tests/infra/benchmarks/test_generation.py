"""An unchanged night, as the benchmark times it: the process imports nothing that is only needed to ask."""

import os
import subprocess
import sys

from infra.benchmarks.generation import DS

PROGRAM = """
import sys
from jobs import cli
for job in ("ingest", "profile_items"):
    cli.run([job, "--ds", sys.argv[1]])
heavy = {"vllm", "torch", "transformers", "pyspark", "lightgbm", "great_expectations", "pandas"}
print("heavy:", sorted(heavy & set(sys.modules)))
"""


def night(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(DS)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_unchanged_night_imports_no_engine(source, tmp_path):
    environ = {
        "NIGHTMILL_DATA": str(tmp_path / "data"),
        "NIGHTMILL_SOURCE__LOCATION": str(source),
        "NIGHTMILL_GENERATION__ENGINE": "fake",
        "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
    }
    assert "nothing to do" not in night(environ)
    again = night(environ)
    assert again.count("nothing to do") == 2
    assert "heavy: []" in again
