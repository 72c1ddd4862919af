import pytest

from infra.cluster.postgres import Postgres
from infra.cluster.running import USERS, _environment
from infra.cluster.serve import parse


@pytest.fixture
def env(tmp_path):
    return _environment(tmp_path / "airflow", 8080, "127.0.0.1", Postgres(tmp_path, 5440, "secret"), False)


def test_nobody_is_let_in_without_a_password(env, tmp_path):
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:ADMIN,operator:OP,viewer:VIEWER"
    passwords = tmp_path / "passwords.json"
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(passwords)
    # Made before Airflow starts: one that it makes itself it prints into its log.
    assert all(name in passwords.read_text() for name in USERS)


def test_airflow_is_on_postgres_and_on_the_loopback(env):
    wanted = "postgresql+psycopg2://nightmill:secret@127.0.0.1:5440/airflow"
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == wanted
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_a_model_server_and_the_loopback_are_the_defaults():
    options = parse([])
    assert (options.engine, options.host, options.dates) == ("http", "127.0.0.1", None)
