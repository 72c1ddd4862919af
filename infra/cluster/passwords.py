"""Passwords and keys that outlive a start: JSON files that only their owner may read."""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from feature_store.errors import NightmillError


def passwords(path: Path, names: Iterable[str]) -> dict[str, str]:
    """A password for each name, made at the first call and kept in the file, mode 0600, from then on.

    NightmillError when others may read the file, or when it holds no JSON object.
    """
    found = _read(path) if path.exists() else {}
    missing = [name for name in names if name not in found]
    if missing:
        found |= {name: secrets.token_urlsafe(18) for name in missing}
        write_private(path, json.dumps(found, indent=1) + "\n")
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    staged.replace(path)


def _read(path: Path) -> dict[str, str]:
    if path.stat().st_mode & 0o077:
        raise NightmillError(
            f"others may read the passwords in {path}: chmod 600 it, or remove it for new ones"
        )
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        raise NightmillError(f"{path} holds no passwords; remove it for new ones") from None
