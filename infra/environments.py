"""Python environments beside Nightmill's own, for packages that cannot be installed with it.

infra/lock/<name>.txt pins what is in one. It is made on first use, kept in the cache, and made anew when the
lock file or the interpreter is another.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY

LOCKS = REPOSITORY / "infra" / "lock"


def interpreter(name: str, cache_root: Path, locks: Path = LOCKS) -> Path:
    """The python of the environment with exactly what the lock file pins.

    A second process waits for the first. Packages come from where pip gets them: mirrors and folders of
    wheels in its configuration are honoured.
    """
    lock = locks / f"{name}.txt"
    if not lock.is_file():
        raise NightmillError(f"there is no {lock}; `make lock` writes it")
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    folder = cache_root.resolve() / "environments" / name
    stamp = folder / "nightmill-lock"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], lock)
            pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
            _run([*pip, "--quiet", "--no-deps", "--disable-pip-version-check", "-r", str(lock)], lock)
            stamp.write_text(wanted, "utf-8")
    return folder / "bin" / "python"


def _run(command: list[str], lock: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise NightmillError(
            f"{lock} could not be installed ({said[-1][:200]}); check the network and pip's configuration"
        )
