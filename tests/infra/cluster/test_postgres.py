import os
import signal

import pytest

from feature_store.errors import NightmillError
from infra.cluster import postgres
from infra.cluster.postgres import Postgres, run_as


@pytest.fixture
def no_postgres(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_missing_package_is_named_with_what_installs_it(no_postgres, tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(NightmillError, match=r"sudo apt-get install -y postgresql$"):
        postgres._binary("initdb")


def test_files_of_another_version_ask_for_that_version(no_postgres, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(NightmillError, match=r"no PostgreSQL 13 .* apt-get install -y postgresql-13"):
        Postgres(tmp_path, 5440, "secret").service({})


def test_the_newest_version_starts_a_new_database(monkeypatch, tmp_path):
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    assert postgres._binary("postgres") == tmp_path / "17" / "bin" / "postgres"


def test_it_listens_on_the_loopback_only_and_no_password_is_on_its_command_line(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "_binary", lambda name, version=None: tmp_path / name)
    service = Postgres(tmp_path, 5440, "secret").service({"A": "b"})
    assert "listen_addresses=127.0.0.1" in service.command
    assert "unix_socket_directories=" in service.command
    assert not [word for word in service.command if "secret" in word]
    assert (service.stop_with, service.late) == (signal.SIGINT, True)
    assert "secret" not in repr(Postgres(tmp_path, 5440, "secret"))


def test_root_never_runs_it(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run_as() is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run_as() in {"postgres", "nobody"}


def test_a_folder_that_its_user_may_not_enter_is_named(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(NightmillError, match="may not enter"):
        postgres._require_reachable(closed / "postgres", "nobody")
    postgres._require_reachable(closed / "postgres", None)
