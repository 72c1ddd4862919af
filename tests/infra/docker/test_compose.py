import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_store.settings import REPOSITORY, load_settings
from infra.airflow.home import POOLS
from infra.docker import entrypoint, first_start, make_secrets, model_server

DOCKER = REPOSITORY / "infra" / "docker"
DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
# What serves, and so must be there before others start, or is done once.
MADE_BY_US = {"secrets", "first-start", "api-server", "scheduler", "dag-processor", "triggerer"}
MADE_BY_US |= {"spark-master", "spark-worker", "model-server"}


def _compose(name: str = "compose.yaml") -> dict[str, Any]:
    """A file as Compose sees it without any variable set, and without the parts that are only shared."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [filled(one) for one in value]
        return DEFAULT.sub(r"\1", value) if isinstance(value, str) else value

    found = yaml.safe_load((DOCKER / name).read_text("utf-8"))
    return {key: filled(value) for key, value in found.items() if not key.startswith("x-")}


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_follow_the_specification(name):
    from compose_spec import PyCompose

    parsed = PyCompose.from_json(json.dumps(_compose(name)))
    parsed.validate_volumes()
    parsed.validate_networks()


def test_an_unknown_key_would_be_seen():
    from compose_spec import PyCompose

    compose = _compose()
    compose["services"]["postgres"]["helthcheck"] = {}
    with pytest.raises(Exception, match="helthcheck"):
        PyCompose.from_json(json.dumps(compose))


def test_the_dockerfile_has_nothing_a_linter_complains_of():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_our_services_run_without_rights_and_as_the_images_user():
    services = _compose()["services"]
    assert services.keys() >= MADE_BY_US
    for name in MADE_BY_US:
        service = services[name]
        assert (service["user"], service["cap_drop"]) == ("50000:0", ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_what_listens_on_the_machine_listens_on_the_loopback():
    ports = [port for service in _compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_airflow_has_users_and_takes_nobody_for_an_administrator():
    environment = _compose()["services"]["api-server"]["environment"]
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:ADMIN,operator:OP,viewer:VIEWER"


def test_the_variables_of_compose_are_settings_that_exist():
    environment = _compose()["services"]["scheduler"]["environment"]
    named = {name: value for name, value in environment.items() if name.startswith("NIGHTMILL_")}
    settings = load_settings({name: value for name, value in named.items() if value})
    assert settings.generation.engine == "http"
    assert settings.spark.master == "spark://spark-master:7077"


def test_modules_and_files_that_services_name_exist():
    for name, service in _compose()["services"].items():
        command = service.get("command", [])
        if command[:2] == ["python", "-m"]:
            assert (REPOSITORY / f"{command[2].replace('.', '/')}.py").exists(), name
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (DOCKER / volume.split(":")[0]).exists(), volume


def test_secrets_are_made_once_for_their_owner_only(tmp_path):
    make_secrets.make(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    make_secrets.make(tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    variables = json.loads((tmp_path / "airflow" / "variables.json").read_text("utf-8"))
    password = (tmp_path / "database" / "password").read_text("utf-8")
    assert f"airflow:{password}@postgres/airflow" in variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    model = json.loads((tmp_path / "model" / "variables.json").read_text("utf-8"))
    assert model == {"VLLM_API_KEY": variables["NIGHTMILL_GENERATION__HTTP__API_KEY"]}
    assert json.loads((tmp_path / "airflow" / "passwords.json").read_text("utf-8")).keys() == {
        "admin",
        "operator",
        "viewer",
    }


def test_each_service_mounts_no_other_services_secrets():
    services = _compose()["services"]
    held = {
        name: {volume.split(":")[0] for volume in service.get("volumes", []) if "secrets" in volume}
        for name, service in services.items()
    }
    assert held["model-server"] == {"model-secrets"}
    assert held["postgres"] == {"database-secrets"}
    assert held["spark-worker"] == {"spark-secrets"}
    assert held["scheduler"] == {"airflow-secrets", "spark-secrets"}


def test_the_entry_point_hands_secrets_to_the_command_and_nothing_to_a_shell(tmp_path):
    secrets = tmp_path / "variables.json"
    secrets.write_text(json.dumps({"PASSWORD": "p$(touch planted)"}))
    show = "import os, sys; print(os.environ['PASSWORD'], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-m", "infra.docker.entrypoint", sys.executable, "-c", show, "; touch planted"],
        env={**os.environ, "SECRETS_FILE": str(secrets)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "p$(touch planted) ['; touch planted']\n"


def test_without_a_secrets_file_the_variables_are_as_they_are(tmp_path):
    assert entrypoint.with_secrets({"A": "1"}) == {"A": "1"}
    broken = tmp_path / "variables.json"
    broken.write_text('["A"]')
    with pytest.raises(ValueError, match=r"variables\.json is no JSON object of texts"):
        entrypoint.with_secrets({"SECRETS_FILE": str(broken)})


def test_the_first_start_makes_the_pools_the_dags_ask_for():
    pools = {command[5]: command[6] for command in first_start.commands() if command[3] == "pools"}
    assert pools == {name: str(slots) for name, slots in POOLS.items()}


def test_the_model_server_serves_the_settings_model_by_name(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    settings = load_settings({"NIGHTMILL_GENERATION__MODEL": str(model)})
    words = model_server.command(settings)
    assert words[words.index("--model") + 1] == str(model)
    assert words[words.index("--served-model-name") + 1] == settings.generation.model
    assert words[words.index("--port") + 1] == "8000"
