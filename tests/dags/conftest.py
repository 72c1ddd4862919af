"""Airflow sets up logging and its home on import, so tests look at it from a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feature_store.settings import REPOSITORY

DAGS = REPOSITORY / "dags"


@pytest.fixture(scope="session")
def in_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run Python code that can import Airflow and the DAG folder; returns what it leaves in `result`."""
    home = tmp_path_factory.mktemp("airflow-home")

    def run(code: str, path: Path | None = None) -> Any:
        output = home / "result.json"
        script = f"{code}\nimport json\njson.dump(result, open({str(output)!r}, 'w'))"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environ |= {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(DAGS)}
        if path:
            environ["PATH"] = f"{path}{os.pathsep}{environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(output.read_text("utf-8"))

    return run
