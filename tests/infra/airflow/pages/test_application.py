"""The pages in Airflow's own api-server, asked with and without a login; in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feature_store.settings import REPOSITORY
from infra.airflow.home import airflow_home, environment, migrate

pytestmark = pytest.mark.airflow

# Reads [path, how to log in] pairs, writes what Airflow answers. `ann` may look at everything.
ASK = """
import json, sys
from datetime import UTC, datetime
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from fastapi.testclient import TestClient

app = create_app(apps="core")
token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ann", role="viewer"))
with create_session() as session:
    night = datetime(1998, 1, 8, tzinfo=UTC)
    for dag, run, at in (("nightly", "backfill__one", night), ("renewal", "r", None)):
        made = {"logical_date": at, "run_after": night, "run_type": DagRunType.MANUAL}
        session.add(DagRun(dag_id=dag, run_id=run, **made))
logins = {
    "": {},
    "header": {"headers": {"Authorization": f"Bearer {token}"}},
    "cookie": {"headers": {"Cookie": f"_token={token}"}},
    "forged": {"headers": {"Authorization": "Bearer " + token[:-4] + "AAAA"}},
}
answers = []
for path, login in json.load(sys.stdin):
    # The client must not tidy a path up before it is sent.
    answer = TestClient(app).get(path, **logins[login], follow_redirects=False)
    answers.append([answer.status_code, answer.text, dict(answer.headers)])
json.dump(answers, open(sys.argv[1], "w"))
"""

PAGES = ("report", "night", "run?dag_id=nightly&run_id=backfill__one", "data-docs/", "data-docs/index.html")
FOUND = {
    "report": "the newest report",
    "report?ds=1998-01-08": "the report of the 8th",
    "run?dag_id=nightly&run_id=backfill__one&page=report": "the report of the 8th",
    "run?dag_id=renewal&run_id=r&page=report": "the newest report",
    "data-docs/": "every check",
    "data-docs/validations/items/page.html": "every expectation",
}
MISSING = {
    "report?ds=1998-01-09": 'href="report">The newest report',
    "night": "unpause `nightly`",
    "run?dag_id=nightly&run_id=none": "no run none of the DAG nightly",
    "data-docs/none.html": "no page none",
}
OUTSIDE = (
    "data-docs/../secret.txt",
    "data-docs/%2e%2e/secret.txt",
    "data-docs/..%2fsecret.txt",
    "data-docs/%2e%2e%2f%2e%2e%2fetc/passwd",
    "data-docs//etc/passwd",
    "data-docs/%2fetc%2fpasswd",
    "data-docs/validations/%2e%2e/%2e%2e/secret.txt",
    "data-docs/link.html",
    "data-docs/x%00.html",
    "report?ds=../secret",
    "report?ds=%2e%2e%2fsecret.txt",
)

Answer = tuple[int, str, dict[str, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a report, a page of Data Docs, and a secret beside them."""
    root = tmp_path_factory.mktemp("data")
    (root / "reports").mkdir()
    (root / "report.html").write_text("the newest report")
    (root / "reports" / "1998-01-08.html").write_text("the report of the 8th")
    page = root / "data_docs" / "validations" / "items" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text("every expectation")
    (root / "data_docs" / "index.html").write_text("every check")
    (root / "secret.txt").write_text("SECRET")
    (root / "data_docs" / "link.html").symlink_to(root / "secret.txt")
    return root


@pytest.fixture(scope="module")
def answers(root: Path) -> dict[tuple[str, str], Answer]:
    """What an Airflow with passwords answers, by page and login: one process for every question."""
    home = airflow_home(root)
    env = environment(home, 8123, os.environ, on_schedule=False)
    env |= {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:viewer",
    }
    migrate(home, env)
    requests = [(page, login) for page in PAGES for login in ("", "forged")]
    requests += [(page, login) for page in FOUND for login in ("header", "cookie")]
    requests += [(page, "header") for page in (*MISSING, *OUTSIDE)]
    output = home / "answers.json"
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(output)],
        input=json.dumps([(f"/nightmill/{page}", login) for page, login in requests]),
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(zip(requests, map(tuple, json.loads(output.read_text())), strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_nobody_without_a_login_sees_anything(answers: dict[tuple[str, str], Answer], page: str) -> None:
    for login, refused in (("", 401), ("forged", 403)):
        status, text, _ = answers[page, login]
        assert status == refused
        assert "report of" not in text
        assert "every" not in text


@pytest.mark.parametrize(("page", "wanted"), FOUND.items())
def test_whoever_is_logged_in_sees_them(
    answers: dict[tuple[str, str], Answer], page: str, wanted: str
) -> None:
    for login in ("header", "cookie"):
        status, text, headers = answers[page, login]
        assert (status, text) == (200, wanted)
        # Great Expectations' pages name scripts of other hosts.
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]


@pytest.mark.parametrize(("page", "said"), MISSING.items())
def test_what_is_not_there_says_what_to_do(
    answers: dict[tuple[str, str], Answer], page: str, said: str
) -> None:
    status, text, _ = answers[page, "header"]
    assert status == 404
    assert said in text


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_else_of_the_disk_is_served(answers: dict[tuple[str, str], Answer], path: str) -> None:
    status, text, _ = answers[path, "header"]
    assert status >= 400
    assert "SECRET" not in text
    assert "root:" not in text
