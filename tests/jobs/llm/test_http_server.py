"""The `http` engine against a real OpenAI-compatible vLLM server, also one that is killed in mid-batch."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from feature_store.settings import load_settings
from jobs.assets import resolve_model
from jobs.llm.vllm_engine import process_environment

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
MODEL = "smollm2-135m-instruct"


class VllmServer:
    """`vllm serve` as a user would run it; its log is shown when it does not start."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = log
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait` says when it is up."""
        options = {
            "model": resolve_model(MODEL, load_settings({})).path,
            "served-model-name": MODEL,
            "port": self._port,
            "dtype": "float32",
            "block-size": 32,
            "max-model-len": 2048,
            "max-num-seqs": 4,
            "max-num-batched-tokens": 4096,
            "kv-cache-memory-bytes": 2**29,
            "structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
        }
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
        command += ["--enforce-eager", "--enable-prompt-tokens-details"]
        command += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=process_environment(os.environ),
                start_new_session=True,
            )

    def wait(self, seconds: float = 400) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text("utf-8")[-3000:]
            try:
                httpx.get(f"{self.url}/models").raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.5)
        pytest.fail(f"no server after {seconds} s: {self._log.read_text('utf-8')[-3000:]}")

    def kill(self) -> None:
        """SIGKILL to it and to its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """A server that is up, or coming up; gone with all its processes at the end."""
    started = VllmServer(tmp_path_factory.mktemp("http") / "server.log")
    try:
        started.start()
        started.wait()
        yield started
    finally:
        started.kill()


@pytest.fixture
def start_over_http(
    server: VllmServer, start_asking: Callable[..., Any], tmp_path: Path
) -> Callable[..., Any]:
    """`start_asking` with the server's address and an empty data root."""

    def start(**overrides: str) -> Any:
        return start_asking(
            DATA=str(tmp_path / "data"),
            GENERATION__ENGINE="http",
            GENERATION__HTTP__URL=server.url,
            GENERATION__HTTP__CONCURRENCY="8",
            **overrides,
        )

    return start


def test_a_server_answers_as_the_nights_own_does(
    start_over_http: Callable[..., Any], served_answers: Any
) -> None:
    found = start_over_http().result()
    found.check()
    assert found.outcomes["long"]["detail"].startswith("HTTP 400")
    assert found.counts["cached_tokens"] > 0
    assert found.keys == served_answers.keys
    assert found.different(served_answers) == []


def test_a_server_killed_in_mid_batch_and_started_again_answers_every_row_once(
    server: VllmServer, start_over_http: Callable[..., Any], tmp_path: Path
) -> None:
    asking = start_over_http(ROWS="24")
    folder = tmp_path / "data" / "generations" / "profile_item"
    while not (stored := sum(pq.read_metadata(p).num_rows for p in folder.glob("part-*.parquet"))):
        assert asking.process.poll() is None
        time.sleep(0.1)
    server.kill()
    assert stored < 24, "it was faster than the kill"
    server.start()
    found = asking.result()
    found.check()
    assert len(found.outcomes) == 24 + 1 + 2
    assert len(set(found.keys)) == len(found.keys) == 24 + 2
