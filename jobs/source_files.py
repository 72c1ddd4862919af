"""Where the raw files of a source are; `sources.py` reads them, and is imported only when there is need."""

from pathlib import Path

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from jobs.assets import DATASETS, resolve_dataset


def folder(settings: Settings) -> Path:
    """The folder with the raw files; a built-in data set is prepared on first use."""
    location = settings.source.location
    path = resolve_dataset(location, settings) if location in DATASETS else Path(location).expanduser()
    if not path.is_dir():
        known = ", ".join(sorted(DATASETS))
        raise NightmillError(
            f"source {path} is not a folder: set source.location to one, or to a built-in set ({known})"
        )
    return path


def files(settings: Settings) -> dict[str, Path]:
    """The raw files by role: interactions and items always, users where the source has them."""
    where = folder(settings)
    found: dict[str, Path] = {}
    for role, suffix in (("interactions", ".inter"), ("items", ".item"), ("users", ".user")):
        candidates = [where / f"{role}.parquet", *sorted(where.glob(f"*{suffix}"))]
        existing = [path for path in candidates if path.exists()]
        if existing:
            found[role] = existing[0]
        elif role != "users":
            raise NightmillError(f"source {where} has neither {role}.parquet nor a *{suffix} file")
    return found
