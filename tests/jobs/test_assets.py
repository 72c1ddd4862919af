"""Every way to name a model, and the built-in data."""

import json
import shutil
from pathlib import Path

import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from jobs import assets
from jobs.asset_cache import PINS, Asset
from jobs.assets import DATASETS, MODELS, resolve_adapter, resolve_dataset, resolve_model


def make_model(folder: Path, weights: bytes = b"w" * 1000) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_every_builtin_is_pinned_with_a_hash() -> None:
    pins = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    assert {line.split("==")[0] for line in pins} == {
        a.package for a in (*MODELS.values(), *DATASETS.values())
    }
    assert all("--hash=sha256:" in line for line in pins)


def test_builtin_model_carries_package_version_and_weights_in_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"model.safetensors": {"bytes": 7, "sha256": "0123456789abcdef" * 4}}
    (tmp_path / "asset.json").write_text(
        json.dumps({"package": "tiny==1.0 --hash=sha256:00", "files": files})
    )
    monkeypatch.setitem(MODELS, "tiny", Asset("tiny", "tiny", "(.+)", needs_mib=1))
    monkeypatch.setattr(assets, "prepared", lambda asset, cache_root: tmp_path)
    model = resolve_model("tiny", load_settings({}))
    assert (model.path, model.model_id, model.revision) == (str(tmp_path), "tiny", "1.0+0123456789ab")


def test_local_model_is_identified_by_content_not_by_time_or_place(tmp_path: Path) -> None:
    settings = load_settings({})
    model = resolve_model(str(make_model(tmp_path / "a" / "mine")), settings)
    assert (model.path, model.model_id) == (str(tmp_path / "a" / "mine"), "mine")
    copy = shutil.copytree(tmp_path / "a" / "mine", tmp_path / "b" / "mine", copy_function=shutil.copyfile)
    assert resolve_model(str(copy), settings).revision == model.revision
    retrained = make_model(tmp_path / "c" / "mine", weights=b"v" * 1000)
    assert resolve_model(str(retrained), settings).revision != model.revision


@pytest.mark.parametrize(
    ("missing", "message"), [("config.json", "has no config.json"), ("model.safetensors", "has no weights")]
)
def test_folder_that_is_not_a_model_is_refused(tmp_path: Path, missing: str, message: str) -> None:
    folder = make_model(tmp_path / "mine")
    (folder / missing).unlink()
    with pytest.raises(NightmillError, match=message) as caught:
        resolve_model(str(folder), load_settings({}))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "model_id", "revision"),
    [("org/model-1.5B", "org/model-1.5B", "main"), ("org/model@v2.1", "org/model", "v2.1")],
)
def test_hub_id_is_passed_on(name: str, model_id: str, revision: str) -> None:
    model = resolve_model(name, load_settings({}))
    assert (model.path, model.model_id, model.revision) == (model_id, model_id, revision)


@pytest.mark.parametrize("name", ["smollm3", "/no/such/folder", "./models/mine", "a/b/c", ""])
def test_name_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(NightmillError, match="neither built in"):
        resolve_model(name, load_settings({}))


def test_unknown_data_set_names_those_there_are() -> None:
    with pytest.raises(NightmillError, match=r"'movielens-1b' is not built in; there is: movielens-100k"):
        resolve_dataset("movielens-1b", load_settings({}))


def test_movielens_is_the_real_thing() -> None:
    folder = resolve_dataset("movielens-100k", load_settings())
    rows = {p.suffix: len(p.read_text("utf-8").splitlines()) - 1 for p in folder.glob("ml-100k.*")}
    assert rows == {".inter": 100_000, ".item": 1_682, ".user": 943}


def make_adapter(folder: Path, weights: bytes = b"w" * 1000, config: str = '{"r": 4}') -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(config)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def identity(folder: Path) -> str:
    adapter = resolve_adapter(str(folder))
    assert adapter is not None
    return adapter.identity


def test_adapter_is_identified_by_content_not_by_place(tmp_path: Path) -> None:
    first = make_adapter(tmp_path / "films")
    assert identity(first) == identity(make_adapter(tmp_path / "moved" / "elsewhere"))
    before = identity(first)
    (first / "adapter_model.safetensors").write_bytes(b"v" * 1000)
    assert identity(first) != before
    assert identity(make_adapter(tmp_path / "scaled", config='{"r": 4, "lora_alpha": 9}')) != before
    assert resolve_adapter("") is None


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("adapter_config.json", r"films has no adapter_config.json; correct generation.adapter"),
        (
            "adapter_model.safetensors",
            r"films has no adapter_model.safetensors or adapter_model.bin; correct",
        ),
        ("", r"films is no folder; correct generation.adapter"),
    ],
)
def test_adapter_that_is_not_there_is_named(tmp_path: Path, missing: str, message: str) -> None:
    folder = make_adapter(tmp_path / "films")
    if missing:
        (folder / missing).unlink()
    else:
        shutil.rmtree(folder)
    with pytest.raises(NightmillError, match=message) as caught:
        resolve_adapter(str(folder))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("config", ["{", "{}", "[]", '{"r": "x"}'])
def test_adapter_without_a_rank_is_refused(tmp_path: Path, config: str) -> None:
    with pytest.raises(NightmillError, match="does not say the adapter's rank"):
        resolve_adapter(str(make_adapter(tmp_path / "films", config=config)))
