import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_store.partitions import POINTER

ASK = """
from published import in_words, published

found = published(["item_profiles", "items"], "1998-01-07", {"NIGHTMILL_DATA": DATA})
result = [found, [in_words(table, account) for table, account in found.items()]]
"""


def test_manifests_in_words(in_airflow: Callable[..., Any], tmp_path: Path) -> None:
    manifest = {
        "ds": "1998-01-07",
        "run_id": "r1",
        "finished_at": "1998-01-08 06:00:00+00:00",
        "incomplete": "",
        "rows": {"written": 1234, "quarantined": {}},
        "provenance": {
            "prompt_name": "profile_item",
            "prompt_version": 3,
            "model_id": "m",
            "model_revision": "r",
        },
    }
    partition = tmp_path / "tables" / "item_profiles" / "ds=1998-01-07"
    (partition / "runs" / "r1").mkdir(parents=True)
    (partition / "runs" / "r1" / "manifest.json").write_text(json.dumps(manifest))
    (partition / POINTER).write_text(json.dumps({"run_id": "r1", "fingerprint": "f"}))

    accounts, words = in_airflow(ASK.replace("DATA}", f"{str(tmp_path)!r}}}"))
    assert accounts == {  # nothing is published of items
        "item_profiles": {
            "ds": "1998-01-07",
            "run_id": "r1",
            "finished_at": "1998-01-08 06:00:00+00:00",
            "rows": 1234,
            "prompt_name": "profile_item",
            "prompt_version": 3,
            "model_id": "m",
            "model_revision": "r",
        }
    }
    assert words == ["item_profiles of 1998-01-07: 1,234 rows, run r1, prompt profile_item/v3, model m@r"]
