import sys
from pathlib import Path

import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from infra.airflow.home import airflow_home, environment, last_night


def test_the_home_is_under_the_data_root(tmp_path: Path) -> None:
    home = airflow_home(tmp_path / "data")
    assert home == tmp_path / "data" / "airflow"
    assert home.is_dir()


def test_a_data_root_that_is_a_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(NightmillError, match=r"cannot create .*/data/airflow: .*; set NIGHTMILL_DATA"):
        airflow_home(tmp_path / "data")


def test_another_airflow_of_this_machine_is_left_alone(tmp_path: Path) -> None:
    theirs = {
        "AIRFLOW_HOME": "/theirs",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://theirs",
        "LANG": "C",
    }
    env = environment(tmp_path, 8123, theirs, on_schedule=False)
    assert not any("theirs" in value for value in env.values())
    assert env["LANG"] == "C"
    assert env["AIRFLOW_HOME"] == str(tmp_path)


def test_it_listens_on_loopback_and_every_part_knows_the_port(tmp_path: Path) -> None:
    env = environment(tmp_path, 8123, {}, on_schedule=False)
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"


def test_data_that_gets_no_new_days_gets_no_new_nights() -> None:
    settings = load_settings({})
    assert last_night(settings) == {"_NIGHTMILL_LAST_NIGHT": "2020-12-31"}  # MovieLens-100k ends in 1998
    own = settings.source.model_copy(update={"location": "s3://shop"})
    assert last_night(settings.model_copy(update={"source": own})) == {}


def test_secrets_are_new_each_time(tmp_path: Path) -> None:
    one, two = (environment(tmp_path, 8123, {}, on_schedule=True) for _ in range(2))
    assert one["AIRFLOW__API_AUTH__JWT_SECRET"] != two["AIRFLOW__API_AUTH__JWT_SECRET"]


def test_the_command_of_this_environment_is_the_one_tasks_find(tmp_path: Path) -> None:
    env = environment(tmp_path, 8123, {"PATH": "/usr/bin"}, on_schedule=False)
    assert env["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
