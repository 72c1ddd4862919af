"""The model server is killed with 200 requests in flight; every row is answered, and stored once."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from feature_store.settings import REPOSITORY
from tests.infra.cluster.shop import tables, write_shop

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
IN_FLIGHT, ITEMS, DS = 200, 320, "1998-01-20"
SLOWLY, AT_ONCE = 8.0, 0.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def serving(port: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """The server, listening; gone at the end."""
    command = [sys.executable, str(Path(__file__).with_name("model_server.py")), str(port), str(seconds)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}) as process:
        try:
            until(lambda: in_flight(port) is not None)
            yield process
        finally:
            process.kill()


def in_flight(port: int) -> int | None:
    try:
        count: int = httpx.get(f"http://127.0.0.1:{port}/in_flight", trust_env=False).json()
    except httpx.HTTPError:
        return None
    return count


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def nightmill(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`nightmill(job, root, port)`: start a job of the made shop that asks 200 at once."""
    shop = write_shop(tmp_path / "shop", items=ITEMS)

    def start(job: str, root: str, port: int) -> subprocess.Popen[str]:
        environ = os.environ | {
            "NIGHTMILL_DATA": str(tmp_path / root),
            "NIGHTMILL_SOURCE__LOCATION": str(shop),
            "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
            "NIGHTMILL_GENERATION__ENGINE": "http",
            "NIGHTMILL_GENERATION__HTTP__URL": f"http://127.0.0.1:{port}/v1",
            "NIGHTMILL_GENERATION__HTTP__CONCURRENCY": str(IN_FLIGHT),
        }
        command = [sys.executable, "-m", "jobs.cli", job, "--ds", DS]
        return subprocess.Popen(command, cwd=REPOSITORY, env=environ, text=True, stderr=subprocess.PIPE)

    return start


def finished(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said


def test_a_model_server_killed_with_200_requests_in_flight_loses_and_doubles_nothing(
    nightmill: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    port = free_port()
    for root in ("whole", "killed"):
        finished(nightmill("ingest", root, port))
    with serving(port, AT_ONCE):
        finished(nightmill("profile_items", "whole", port))
    with serving(port, SLOWLY) as server:
        job = nightmill("profile_items", "killed", port)
        until(lambda: in_flight(port) == IN_FLIGHT)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        assert job.poll() is None
    with serving(port, AT_ONCE):
        finished(job)

    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    keys = [
        key
        for part in (tmp_path / "killed" / "generations" / "profile_item").glob("*.parquet")
        for key in pq.read_table(part, columns=["key"])["key"].to_pylist()
    ]
    assert len(keys) == len(set(keys)) >= ITEMS
