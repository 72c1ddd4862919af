import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_store.partitions import POINTER

RENEWED = """
from datetime import UTC, datetime
from published import renewed

def found(*at):
    since = datetime(*at, tzinfo=UTC)
    return [[table, account["ds"]] for table, account in renewed(since, {"NIGHTMILL_DATA": DATA})]

result = [found(1998, 1, 8), found(1998, 1, 8, 6), found(1998, 1, 8, 7)]
"""
ASK = """
from published import in_words, published

found = published(["item_profiles", "items"], "1998-01-07", {"NIGHTMILL_DATA": DATA})
result = [found, [in_words(table, account) for table, account in found.items()]]
"""


def publish(root: Path, table: str, manifest: dict[str, Any]) -> None:
    partition = root / "tables" / table / f"ds={manifest['ds']}"
    (partition / "runs" / "r1").mkdir(parents=True)
    (partition / "runs" / "r1" / "manifest.json").write_text(json.dumps(manifest))
    (partition / POINTER).write_text(json.dumps({"run_id": "r1", "fingerprint": "f"}))


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
    publish(tmp_path, "item_profiles", manifest)

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


def test_what_was_renewed_since(in_airflow: Callable[..., Any], tmp_path: Path) -> None:
    for table in ("items", "recommendations"):  # of these two only lists are made from earlier nights
        for ds, hour in (("1998-01-07", 5), ("1998-01-14", 6)):
            manifest = {"ds": ds, "run_id": "r1", "finished_at": f"1998-01-08T0{hour}:00:00+00:00"}
            publish(tmp_path, table, manifest | {"incomplete": "", "rows": {"written": 1}, "provenance": {}})
    both = [["recommendations", "1998-01-07"], ["recommendations", "1998-01-14"]]
    assert in_airflow(RENEWED.replace("DATA}", f"{str(tmp_path)!r}}}")) == [both, both[1:], []]
