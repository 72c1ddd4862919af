"""Text vectors, kept by what was embedded and by which model, so that no text is embedded twice.

    <data>/vectors/<model>/part-<time>-<random>.parquet

Vectors of different models or revisions never meet: each has a folder of its own.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from feature_store.partitions import add_part

SCHEMA = pa.schema(
    [pa.field("text_hash", pa.string(), False), pa.field("embedding", pa.list_(pa.float32()), False)]
)


def text_hash(text: str) -> str:
    """SHA-256 of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Vectors:
    """The vectors of one model under one data root; `cut` is the length in tokens at which texts are cut."""

    def __init__(self, root: Path, model_id: str, revision: str, cut: int) -> None:
        name = "".join(c if c.isalnum() or c in "-._" else "-" for c in model_id)
        identity = sha256(f"{model_id}\0{revision}\0{cut}".encode()).hexdigest()[:12]
        self.folder = root / "vectors" / f"{name}-{identity}"

    def find(self, hashes: Iterable[str]) -> dict[str, np.ndarray]:
        """The stored vectors among `hashes`, float32."""
        wanted = pa.array(sorted(set(hashes)), pa.string())
        parts = sorted(self.folder.glob("part-*.parquet"))
        if not parts or not len(wanted):
            return {}
        stored = ds.dataset([str(part) for part in parts], schema=SCHEMA, format="parquet")
        rows = stored.to_table(filter=ds.field("text_hash").isin(wanted))
        keys = rows["text_hash"].to_pylist()
        values = rows["embedding"].combine_chunks()
        if not len(values):
            return {}
        matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(len(keys), -1)
        return dict(zip(keys, matrix, strict=True))

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Write vectors by text hash as one part; when this returns they are on the disk."""
        if not vectors:
            return
        rows = pa.table({"text_hash": list(vectors), "embedding": list(vectors.values())}, schema=SCHEMA)
        add_part(self.folder, rows)
