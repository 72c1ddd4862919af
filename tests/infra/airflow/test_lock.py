import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from feature_store.errors import NightmillError
from infra.airflow.home import MARK
from infra.airflow.lock import locked

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_home_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path) -> None:
    refused = pytest.raises(NightmillError, match=rf"\(process {os.getpid()}\); stop it first")
    with locked(tmp_path), refused, locked(tmp_path):
        pass


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass


def test_a_killed_owner_leaves_nothing_running(tmp_path: Path) -> None:
    with locked(tmp_path) as descriptor:
        service = subprocess.Popen(SLEEP, env=os.environ | {MARK: str(tmp_path)}, pass_fds=[descriptor])
        other = subprocess.Popen(SLEEP, env=os.environ | {MARK: str(tmp_path / "other")})
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "lock").write_text(str(gone.pid))
    try:
        with locked(tmp_path):
            assert not psutil.pid_exists(service.pid)
            assert other.poll() is None
    finally:
        for process in (service, other):
            process.kill()
            process.wait()
