from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STAND_IN = """\
#!/bin/sh
for word in "$@"; do echo "argument: $word"; done
echo "nightmill: what is wrong and what to do" >&2
exit "$STATUS"
"""
EXECUTE = """
import os
from job_operator import JobOperator

result = {}
for status in ("0", "1", "2", "3", "4"):
    os.environ["STATUS"] = status
    try:
        JobOperator(task_id="embed", job="embed").execute({})
        result[status] = ["", ""]
    except Exception as error:
        result[status] = [type(error).__name__, str(error)]
"""
HOSTILE = """
import os
from job_operator import JobOperator

os.environ["STATUS"] = "0"
operator = JobOperator(task_id="embed", job="embed")
operator.render_template_fields({"ds": "1998-01-07; touch $(echo planted) | x"})
result = operator.command
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in for the command, which exits with $STATUS."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nightmill").write_text(STAND_IN)
    (folder / "nightmill").chmod(0o755)
    return folder


def test_exit_codes(in_airflow: Callable[..., Any], path: Path) -> None:
    found = in_airflow(EXECUTE, path)
    assert {status: kind for status, (kind, _) in found.items()} == {
        "0": "",
        "1": "AirflowException",  # tried again
        "2": "AirflowFailException",  # these are not
        "3": "AirflowFailException",
        "4": "AirflowFailException",
    }
    assert found["3"][1].splitlines() == [
        "`nightmill embed --ds {{ ds }}` exited with 3 (a quality gate refused to publish)"
        " and is not tried again:",
        "nightmill: what is wrong and what to do",
    ]


def test_a_rendered_value_is_one_argument_whatever_is_in_it(in_airflow: Callable[..., Any]) -> None:
    assert in_airflow(HOSTILE) == ["nightmill", "embed", "--ds", "1998-01-07; touch $(echo planted) | x"]
