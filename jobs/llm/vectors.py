"""Text vectors, kept by what was embedded and by which model, so that no text is embedded twice.

    <data>/vectors/<model>/part-<time>-<random>.parquet

Vectors of different models or revisions never meet: each has a folder of its own.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_store.parts import add_part, find_rows

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
        wanted = set(hashes)
        found: dict[str, np.ndarray] = {}
        for rows in find_rows(self.folder, SCHEMA, SCHEMA.names, wanted) if wanted else ():
            values = rows["embedding"].combine_chunks()
            matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
            for key, vector in zip(rows["text_hash"].to_pylist(), matrix, strict=True):
                # Two processes may have embedded one text; which of them counts must not depend on the order.
                if key not in found or vector.tobytes() < found[key].tobytes():
                    found[key] = vector
        return found

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Write vectors by text hash as one part; when this returns they are on the disk."""
        if not vectors:
            return
        rows = pa.table({"text_hash": list(vectors), "embedding": list(vectors.values())}, schema=SCHEMA)
        add_part(self.folder, rows)
