"""Layered settings: default.toml, then the profile named by NIGHTMILL_PROFILE, then NIGHTMILL_* variables."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from feature_store.errors import SettingsError
from feature_store.sections import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS_FOLDER = REPOSITORY / "infra" / "settings"
# Variables that are not settings themselves, and short names for two that are used daily.
CONTROL_VARIABLES = {"NIGHTMILL_PROFILE"}
# Texts, whatever they look like: a key that is all digits is no number.
SECRETS = {"NIGHTMILL_GENERATION__HTTP__API_KEY"}
# What is never repeated in a message: keys, and locations, which may have one in them.
UNSHOWN = {"api_key", "remote", "url", "location"}
SHORT_NAMES = {"NIGHTMILL_DATA": "data_root", "NIGHTMILL_CACHE": "cache_root"}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in SETTINGS_FOLDER.glob("*.toml")))
        raise SettingsError(f"no settings file {path}; profiles that exist: {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


def _overlay(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `top` over `base`, section by section."""
    merged = dict(base)
    for key, value in top.items():
        both_sections = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _overlay(merged[key], value) if both_sections else value
    return merged


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings named by NIGHTMILL_SECTION__KEY; values are JSON where they parse, else text."""
    found: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith("NIGHTMILL_") or name in CONTROL_VARIABLES:
            continue
        path = [SHORT_NAMES[name]] if name in SHORT_NAMES else name[len("NIGHTMILL_") :].lower().split("__")
        try:
            value = text if name in SHORT_NAMES or name in SECRETS else json.loads(text)
        except json.JSONDecodeError:
            value = text
        nested = {path[-1]: value}
        for key in reversed(path[:-1]):
            nested = {key: nested}
        found = _overlay(found, nested)
    return found


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Load the layered settings; SettingsError names every key that is unknown, missing or out of range."""
    environ = os.environ if environ is None else environ
    merged = _read_toml(SETTINGS_FOLDER / "default.toml")
    if profile := environ.get("NIGHTMILL_PROFILE"):
        merged = _overlay(merged, _read_toml(SETTINGS_FOLDER / f"{profile}.toml"))
    merged = _overlay(merged, _from_environment(environ))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        variable = "NIGHTMILL_" + "__".join(str(part).upper() for part in problem["loc"])
        return (
            f"unknown setting {key} (in a file, or as {variable}); infra/settings/default.toml lists them all"
        )
    got = "" if UNSHOWN & set(map(str, problem["loc"])) else f" (got {problem['input']!r})"
    return f"setting {key}: {problem['msg']}{got}"
