"""Secrets: none in the repository, and none of a run's in anything the run writes."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from feature_store.errors import SettingsError
from feature_store.settings import REPOSITORY, load_settings
from tests.jobs.forgetting.search import places

API_KEY, REMOTE, DATABASE, CLOUD, SOURCE = (
    f"planted-{name}-9f31c7" for name in ("key", "remote", "db", "aws", "src")
)
PLANTED = (API_KEY, REMOTE, DATABASE, CLOUD, SOURCE)
# Put together here, so that this file does not match itself.
PATTERNS = {
    "private key": "-----BEGIN " + r"(?:[A-Z]+ )*PRIVATE KEY-----",
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "API key": r"\bsk-[A-Za-z0-9_-]{20,}\b",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "password in a URL": r"\b[a-z][a-z0-9+]*://[^\s/:@'\"{}$<>]+:(?!(?:password|secret|pass|[^\s@]{0,3}|X+)@)[^\s/:@'\"{}$<>]{4,}@",
}
EXAMPLES = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "GitHub token": "ghp_" + "a1" * 18,
    "Hugging Face token": "hf_" + "a1" * 17,
    "API key": "sk-" + "proj" * 6,
    "Slack token": "xoxb-" + "1234567890-abc",
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0In0.x",
    "Google key": "AIza" + "a" * 35,
    "password in a URL": "postgresql://nightmill:" + "hunter22@db/airflow",
}


def _found(text: str) -> list[str]:
    return [name for name, pattern in PATTERNS.items() if re.search(pattern, text)]


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_planted_secret_would_be_found(name):
    assert name in _found(f"x = {EXAMPLES[name]!r}")


def test_there_is_no_secret_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    found = {
        name: kinds
        for name in filter(None, listed)
        if (REPOSITORY / name).is_file()
        and (kinds := _found((REPOSITORY / name).read_text("utf-8", "replace")))
    }
    assert len(listed) > 100
    assert found == {}


class Server(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server whose answers to prompts are never accepted; it notes who asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self._reply(200, {"data": [{"id": "smollm2-135m-instruct"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Server.asked.append(self.headers.get("authorization", ""))
        choices = body["structured_outputs"].get("choice")
        logprobs = [{"token": choice, "logprob": -0.7} for choice in choices or ()]
        content = choices[0] if choices else json.dumps({"unexpected": 1})
        choice = {"message": {"content": content}, "finish_reason": "stop"}
        choice["logprobs"] = {"content": [{"top_logprobs": logprobs}]}
        self._reply(200, {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})

    def _reply(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def _environ(tmp_path: Path, source: Path, port: int) -> dict[str, str]:
    named = {
        "DATA": str(tmp_path / "data"),
        "SOURCE__LOCATION": str(source),
        "STORE__REMOTE": f"file://{tmp_path / 'remote'}",
        "GENERATION__ENGINE": "http",
        "GENERATION__HTTP__URL": f"http://127.0.0.1:{port}/v1",
        "GENERATION__HTTP__API_KEY": API_KEY,
        "GENERATION__RECORD_INPUTS": "true",
        "PROFILES__ITEM_MIN_EVENTS": "0",
        "LOG__FORMAT": "json",
    }
    return {f"NIGHTMILL_{name}": value for name, value in named.items()} | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://nightmill:{DATABASE}@db/airflow",
        "AWS_SECRET_ACCESS_KEY": CLOUD,
    }


def _said(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_no_secret_of_a_run_is_in_anything_it_writes_or_says(tmp_path, source, server):
    environ = _environ(tmp_path, source, server)
    said = []
    for arguments in (["ingest"], ["profile_items"], ["profile_users"]):
        code, text = _said(environ, *arguments, "--ds", "1998-01-02")
        said.append(text)
        assert code == (0 if arguments == ["ingest"] else 3), text
    said += [_said(environ, command)[1] for command in ("status", "export-feast")]
    # The server was asked with the key, so the run had it.
    assert set(Server.asked) == {f"Bearer {API_KEY}"}
    assert [secret for secret in PLANTED if any(secret in text for text in said)] == []
    assert places(tmp_path, PLANTED) == []


@pytest.mark.parametrize(
    ("wrong", "secret"),
    [
        ({"GENERATION__HTTP__URL": f"http://caller:{API_KEY}@127.0.0.1:9/v1"}, API_KEY),
        ({"SOURCE__LOCATION": f"unknown://reader:{SOURCE}@bucket/there"}, SOURCE),
        ({"STORE__REMOTE": f"unknown://writer:{REMOTE}@bucket/nightmill"}, REMOTE),
    ],
)
def test_no_secret_is_in_the_message_of_a_failure(tmp_path, source, server, wrong, secret):
    environ = _environ(tmp_path, source, server) | {
        "NIGHTMILL_STORE__REMOTE": "",
        "NIGHTMILL_GENERATION__HTTP__OUTAGE_SECONDS": "0.1",
    }
    assert _said(environ, "ingest", "--ds", "1998-01-02")[0] == 0
    environ |= {f"NIGHTMILL_{name}": value for name, value in wrong.items()}
    command = "ingest" if "SOURCE__LOCATION" in wrong else "profile_items"
    code, text = _said(environ, command, "--ds", "1998-01-02", "--reprocess")
    assert code in (1, 2), text
    assert secret not in text
    assert places(tmp_path / "data", [secret]) == []


def test_a_key_that_is_no_text_is_taken_as_it_stands_and_never_repeated():
    key = "NIGHTMILL_GENERATION__HTTP__API_KEY"
    settings = load_settings({key: "0123456"})
    assert settings.generation.http.api_key.get_secret_value() == "0123456"
    assert "0123456" not in repr(settings) + settings.model_dump_json()
    with pytest.raises(SettingsError) as caught:
        load_settings({"NIGHTMILL_STORE__REMOTE": json.dumps([f"s3://key:{REMOTE}@bucket"])})
    assert REMOTE not in str(caught.value)
