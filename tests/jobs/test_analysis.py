"""docs/analysis.md: every query gives the right answer in a DuckDB that knows nothing of Nightmill."""

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from feature_store import catalog
from feature_store.contract import GENERATIONS_SCHEMA
from feature_store.partitions import Store
from feature_store.parts import add_part
from feature_store.settings import REPOSITORY, load_settings

from .conftest import publish_night

PAGE = REPOSITORY / "docs" / "analysis.md"
QUERIES = re.findall(r"^## (\d+)\..*?```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
FIRST, SECOND, AFTER = date(1998, 1, 7), date(1998, 1, 14), date(1998, 1, 15)
FIRST_END, SECOND_END = (datetime(1998, 1, day, tzinfo=UTC) for day in (8, 15))
EDGE = timedelta(microseconds=1)

TAGS = {"old": ["drama"], "mid": ["drama", "comedy"], "new": ["war"]}
# What users took, and when: before the first night, in the seven days after it, the moment these are over.
TAKEN = [
    ("ann", "old", FIRST_END - timedelta(days=2)),
    ("bob", "old", FIRST_END - timedelta(days=1)),
    ("bob", "mid", FIRST_END - EDGE),
    ("ann", "mid", FIRST_END),
    ("ann", "old", FIRST_END + timedelta(days=3)),
    ("bob", "new", SECOND_END - EDGE),
    ("ann", "new", SECOND_END),
]
# Events in 30 and 90 days by night; "cold" has no profile and nobody takes it.
EVENTS = {FIRST: {"old": 2, "mid": 1, "new": 0, "cold": 0}, SECOND: {"old": 3, "mid": 2, "new": 1, "cold": 0}}
PROFILED = {FIRST: ["mid", "new"], SECOND: ["old", "mid", "new"]}
CANDIDATES = {
    FIRST: [("ann", "mid", ["als"]), ("ann", "new", ["als", "trending"]), ("bob", "new", ["trending"])],
    SECOND: [("ann", "new", ["als"])],
}


def _night(settings, ds):
    items = [{"item_id": item, "title": item.title()} for item in EVENTS[ds]]
    publish_night(settings, "ingest", ds, {"items": items, "users": [{"user_id": "ann"}, {"user_id": "bob"}]})
    profiles = [{"item_id": i, "llm_tags": TAGS[i], "generation_key": i} for i in PROFILED[ds]]
    refused = [{"entity_id": "cold", "reason": "ungrounded", "detail": "no 1940s"}] if ds == SECOND else []
    publish_night(settings, "profile_items", ds, {"item_profiles": profiles}, refused=refused)
    # ann likes comedies, says the model; of her three items one is one
    said = [{"user_id": "ann", "llm_interests": ["comedy"], "generation_key": "ann"}]
    publish_night(settings, "profile_users", ds, {"user_profiles": said})
    features = [
        {
            "item_id": i,
            "item_events_count_30d": n,
            "item_events_count_90d": n,
            "item_profile_present": i in TAGS,
        }
        for i, n in EVENTS[ds].items()
    ]
    publish_night(settings, "build_features", ds, {"item_features": features})
    proposed = [{"user_id": u, "item_id": i, "rank": 1, "channels": c} for u, i, c in CANDIDATES[ds]]
    publish_night(settings, "fit_recall", ds, {"candidates": proposed})
    publish_night(settings, "recommend", ds, {"recommendations": proposed})


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Rows by the number of the question, from a process that has DuckDB only and stands elsewhere."""
    root = tmp_path_factory.mktemp("analysis") / "env=prod"
    settings = load_settings({"NIGHTMILL_DATA": str(root), "NIGHTMILL_TIME__MODE": "simulated"})
    for ds in (FIRST, SECOND):
        _night(settings, ds)
    events = [{"user_id": u, "item_id": i, "event_time": t, "event_type": "event"} for u, i, t in TAKEN]
    publish_night(settings, "ingest", AFTER, {"interactions": events, "users": []})
    # 100 tokens an answer; of profile_item's four one was refused
    keys = [("profile_item", key) for key in ("old", "mid", "new", "refused")] + [("profile_user", "ann")]
    for prompt, key in keys:
        row = {f.name: {"string": "m", "double": 0.0}.get(str(f.type), 0) for f in GENERATIONS_SCHEMA}
        row |= {"key": key, "prompt_name": prompt, "prompt_tokens": 90, "output_tokens": 10, "cut_fields": []}
        add_part(root / "generations" / prompt, pa.Table.from_pylist([row], GENERATIONS_SCHEMA))
    path = catalog.rewrite(Store(root))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    return _in_plain_duckdb(path, dict(QUERIES), elsewhere)


def _in_plain_duckdb(path, queries, folder):
    script = (
        "import duckdb, json, sys\n"
        "connection = duckdb.connect(sys.argv[1], read_only=True)\n"
        "run = lambda query: connection.sql(query).fetchall()\n"
        "found = {name: run(query) for name, query in json.loads(sys.argv[2]).items()}\n"
        "assert not {m.split('.')[0] for m in sys.modules} & {'feature_store', 'jobs'}\n"
        "print(json.dumps(found, default=str))\n"
    )
    command = [sys.executable, "-I", "-c", script, str(path), json.dumps(queries)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


EXPECTED = {
    "1": [["1998-01-07", 2, 0.5, 1], ["1998-01-14", 3, 0.75, 1]],
    # of the first night's lists only: ann was shown mid, which she took, and new, too late; bob took new
    "2": [["comedy", 1, 1, 1.0], ["drama", 1, 1, 1.0], ["war", 2, 1, 0.5]],
    "3": [
        ["mid", "Mid", 1, 2, True],
        ["new", "New", 0, 1, True],
        ["old", "Old", 2, 3, True],
        ["cold", "Cold", 0, 0, False],
    ],
    "4": [["profile_item", "m", "m", 4, 3, 400, 133.3], ["profile_user", "m", "m", 1, 1, 100, 100.0]],
    "7": [["1998-01-14", "profile_items", "ungrounded", 1, "no 1940s"]],
    # new to their user: ann mid, bob new (a moment before the end); ann's old was not new, her new too late
    "8": [["1998-01-07", "als", 2, 1, 0.5], ["1998-01-07", "trending", 2, 1, 0.5]],
    # ranks of four: first night old 1, mid 2/3, new and cold 0; second 1, 2/3, 1/3, 0. Taken in the week
    # before: old, old, mid; then mid, old, new
    "9": [["1998-01-07", 2, 0.222, 0.0, 0.889], ["1998-01-14", 1, 0.333, 0.0, 0.667]],
    "10": [["ann", ["comedy"], 4, 1, 0.25]],
}


@pytest.mark.parametrize("number", EXPECTED, ids=lambda number: f"question {number}")
def test_the_answer_is_the_one_computed_by_hand(answers, number):
    assert answers[number] == EXPECTED[number]


def test_there_are_ten_questions_and_all_have_answers(answers):
    assert [number for number, _ in QUERIES] == [str(n) for n in range(1, 11)]
    assert all(answers.values())


def test_drift_is_that_of_the_manifests(answers):
    by_feature = {row[3]: row for row in answers["5"]}
    # of four items 0, 0, 1 and 2 events; then 0, 1, 2 and 3
    assert by_feature["item_events_count_30d"][:3] == ["1998-01-14", "1998-01-07", "item_features"]
    assert answers["5"] == sorted(answers["5"], key=lambda row: (-row[4], row[3]))
    assert not any(row[5] for row in answers["5"])


def test_freshness_counts_days_behind_the_newest_night(answers):
    behind = {row[0]: row[1:4] for row in answers["6"]}
    assert behind["interactions"] == ["1998-01-15", 0, 1]
    assert behind["item_profiles"] == ["1998-01-14", 1, 3]
    assert [row[0] for row in answers["6"] if row[2] == 0] == ["interactions", "users"]
