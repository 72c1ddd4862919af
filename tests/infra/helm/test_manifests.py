import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from feature_store.settings import REPOSITORY, load_settings

HELM = REPOSITORY / "infra" / "helm"
KUBERNETES = "1.30"
PODS = ("worker-pod.yaml", "generation-pod.yaml")


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """Everything that `kubectl apply -k infra/helm` would send, rendered without a cluster."""
    command = ["kubectl", "kustomize", str(HELM)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(rendered))


def _pod(name: str) -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load((HELM / name).read_text("utf-8"))
    return pod


def _values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((HELM / "values.yaml").read_text("utf-8"))
    return values


def _pod_specs(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    return made + [_pod(name)["spec"] for name in PODS]


def test_every_object_follows_the_schema_of_kubernetes(objects):
    assert {item["kind"] for item in objects} >= {"Deployment", "Service", "NetworkPolicy", "ConfigMap"}
    for item in [*objects, *map(_pod, PODS)]:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_an_unknown_field_would_be_seen():
    pod = _pod("worker-pod.yaml")
    pod["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_no_pod_may_talk_to_kubernetes_or_gain_rights(objects):
    accounts = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    assert not [item for item in objects if item["kind"] in {"Role", "RoleBinding", "ClusterRole"}]
    for spec in _pod_specs(objects):
        assert spec["serviceAccountName"] in accounts
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_generation_has_a_gpu_and_other_tasks_have_none():
    worker, generation = (_pod(name)["spec"] for name in PODS)
    assert generation["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert generation["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "nvidia.com/gpu" not in worker["containers"][0]["resources"]["limits"]
    # Otherwise the executor would put one image into every pod.
    executor = _values()["config"]["kubernetes_executor"]
    assert (executor["worker_container_repository"], executor["worker_container_tag"]) == ("", "")


def test_the_template_that_the_dags_name_is_where_the_scheduler_finds_it(objects):
    values = _values()
    named = {one["name"]: one["value"] for one in values["env"]}["GENERATION_POD_TEMPLATE"]
    (mount,) = values["scheduler"]["extraVolumeMounts"]
    (volume,) = values["scheduler"]["extraVolumes"]
    maps = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "ConfigMap"}
    files = maps[volume["configMap"]["name"]]
    assert named in {f"{mount['mountPath']}/{file}" for file in files}


def test_what_pods_and_services_mount_or_name_exists(objects):
    claims = {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"}
    services = {item["metadata"]["name"] for item in objects if item["kind"] == "Service"}
    for spec in _pod_specs(objects):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in claims
        for mount in spec["containers"][0]["volumeMounts"]:
            assert mount["name"] in volumes
    worker = {e["name"]: e.get("value", "") for e in _pod("worker-pod.yaml")["spec"]["containers"][0]["env"]}
    for variable, service in {
        "NIGHTMILL_GENERATION__HTTP__URL": "model-server",
        "NIGHTMILL_SPARK__MASTER": "spark-master",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "otel-collector",
    }.items():
        assert f"//{service}:" in worker[variable]
        assert service in services


@pytest.mark.parametrize("name", PODS)
def test_the_variables_of_a_pod_are_settings_that_exist(name):
    env = _pod(name)["spec"]["containers"][0]["env"]
    load_settings({one["name"]: one["value"] for one in env if one["name"].startswith("NIGHTMILL_")})


def test_nothing_secret_is_written_into_values_or_manifests(objects):
    assert not [item for item in objects if item["kind"] == "Secret"]
    values = _values()
    assert values["data"].keys() == {"metadataSecretName"}
    assert {"fernetKey", "apiSecretKey", "jwtSecret"}.isdisjoint(values)
