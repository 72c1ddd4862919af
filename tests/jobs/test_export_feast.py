"""The Feast repository: what is written, and that the real Feast applies it and joins as Nightmill does."""

import ast
import json
import subprocess
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from feature_store.contract import DAY, TEXTS, VECTOR
from feature_store.errors import UsageError
from feature_store.partitions import Store
from feature_store.sections import Price
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from infra.environments import interpreter
from jobs.export_feast import export, feast_type
from jobs.llm.ledger import Entry, Ledger

FREE = Price(currency="USD", read=0, cached=0, written=0)
FIRST, SECOND = date(1998, 1, 7), date(1998, 1, 8)
MODEL = {"model_id": "m", "model_revision": "r", "prompt_version": "2", "prompt_hash": "d00d"}
# (user 1, item 23) and (user 12, item 3) are the same letters in a row.
PAIRS = [("1", "23"), ("12", "3"), ("1", "3")]
FEATURES = ["als_rank", "item_events_count_7d", "user_events_count_7d"]


def _night(publish, settings, ds, number):
    """Every value of a night says which night it is of; user 12 appears on the second."""
    users = ["1"] if number == 1 else ["1", "12"]
    items = [{"item_id": item, "item_events_count_7d": number} for item in ("3", "23")]
    seen = [{"user_id": user, "user_events_count_7d": number} for user in users]
    publish(settings, "build_features", ds, {"item_features": items, "user_features": seen})
    pairs = [{"user_id": u, "item_id": i, "rank": 1, "als_rank": number} for u, i in PAIRS if u in users]
    publish(settings, "fit_recall", ds, {"candidates": pairs})
    ranker = {"status": "trained", "features": [*FEATURES, "user_cold", "pair_category_affinity_90d"]}
    publish(settings, "train_ranker", ds, {"rankers": [ranker]})


@pytest.fixture
def store(publish, make_settings):
    """Two nights; the first took 40 hours, so that it was known after the second, which took 6.

    The first was published before there was a column user_cold.
    """
    slow, quick = (
        make_settings(TIME__MODE="simulated", TIME__PUBLICATION_DELAY_HOURS=h) for h in ("40", "6")
    )
    _night(publish, slow, FIRST, 1)
    (older,) = Store(slow.data_root).published("user_features", FIRST).files
    pq.write_table(pq.read_table(older, partitioning=None).drop_columns(["user_cold"]), older)
    _night(publish, quick, SECOND, 2)
    profile = {"item_id": "3", "prompt_name": "profile_item", **MODEL}
    publish(quick, "profile_items", SECOND, {"item_profiles": [profile]})
    entry = Entry(str(SECOND), "profile_items", "r", "p", "m", "fake", prompt_tokens=900, output_tokens=100)
    Ledger(quick.data_root).write(entry)
    return Store(quick.data_root)


def _calls(folder, name):
    """The calls of a Feast class in definitions.py, by the variable they are assigned to."""
    tree = ast.parse((folder / "definitions.py").read_text("utf-8"))
    calls = [n for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)]
    return {n.targets[0].id: n.value for n in calls if getattr(n.value.func, "id", "") == name}


def _argument(call, name):
    return next(keyword.value for keyword in call.keywords if keyword.arg == name)


def test_a_view_has_the_contract_and_says_prompt_model_and_cost(store, tmp_path):
    price = Price(currency="EUR", read=1000, cached=0, written=10_000)
    export(store, tmp_path / "feast", price)
    views = _calls(tmp_path / "feast", "FeatureView")
    assert views.keys() == {"item_features", "user_features", "candidates", "item_profiles"}
    tags = ast.literal_eval(_argument(views["item_profiles"], "tags"))
    # 900 tokens at 1,000 and 100 at 10,000 a million
    assert (tags["tokens"], tags["cost"]) == ("1000", "1.90 EUR")
    assert (tags["prompt"], tags["model"]) == ("profile_item v2 (d00d)", "m@r")
    fields = _argument(views["item_profiles"], "schema").elts
    names = [_argument(field, "name").value for field in fields]
    assert names[:4] == ["item_id", "llm_description", "llm_tags", "llm_audience"]
    assert ast.literal_eval(_argument(fields[1], "tags")) == {"from_model": "true"}
    assert [entity.id for entity in _argument(views["candidates"], "entities").elts] == ["user", "item"]
    source = _argument(views["candidates"], "source")
    assert _argument(source, "timestamp_field").value == "as_of"
    assert _argument(source, "created_timestamp_column").value == "known_at"


def test_a_ranker_is_a_service_and_names_the_features_no_table_has(store, tmp_path):
    export(store, tmp_path / "feast", FREE)
    services = _calls(tmp_path / "feast", "FeatureService")
    assert services.keys() == {"ranker_1998_01_07", "ranker_1998_01_08"}
    assert ast.literal_eval(_argument(services["ranker_1998_01_08"], "tags"))["not_in_a_table"] == (
        "pair_category_affinity_90d"
    )


def test_links_follow_what_is_published(store, publish, make_settings, tmp_path):
    export(store, tmp_path / "feast", FREE)
    folder = tmp_path / "feast" / "data" / "item_features"
    before = {path.name: path.resolve() for path in folder.iterdir()}
    assert set(before.values()) == {f for p in store.partitions("item_features") for f in p.files}
    _night(publish, make_settings(TIME__MODE="simulated"), SECOND, 3)
    export(store, tmp_path / "feast", FREE)
    after = {path.name: path.resolve() for path in folder.iterdir()}
    assert set(after.values()) == {f for p in store.partitions("item_features") for f in p.files}
    assert len(before.keys() & after.keys()) == 1


def test_a_folder_of_somebody_else_is_left_alone(store, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    for place in (tmp_path, notes):
        with pytest.raises(UsageError, match="is no empty folder and no former export: name"):
            export(store, place, FREE)
    assert notes.read_text() == "mine"


def test_an_empty_store_says_what_to_run_first(tmp_path):
    with pytest.raises(UsageError, match=r"nothing is published under .*: run `nightmill run --ds D` first"):
        export(Store(tmp_path), tmp_path / "feast", FREE)


def test_types_that_feast_lacks_are_left_out():
    assert [feast_type(t) for t in (TEXTS, VECTOR, DAY)] == ["Array(String)", "Array(Float32)", None]


IN_FEAST = """
import json, sys
import pandas as pd
from feast import FeatureStore
from feast.cli.cli import cli

cli(["apply"], standalone_mode=False)
rows = pd.DataFrame(json.loads(sys.argv[1]), columns=["row", "user_id", "item_id", "event_timestamp"])
rows["event_timestamp"] = pd.to_datetime(rows["event_timestamp"], utc=True, format="ISO8601")
store = FeatureStore(repo_path=".")
service = store.get_feature_service("ranker_1998_01_08")
found = {}
for known in (True, False):
    job = store.get_historical_features(rows, service, filter_by_created_timestamp=known)
    found[str(known)] = job.to_df().sort_values("row").to_json(orient="records")
print(json.dumps(found))
"""


@pytest.fixture
def joined(store, tmp_path):
    """`joined(rows)`: (user, item, time) joined by Feast; with known_at heeded, and as it is by default."""
    feast_python = interpreter("feast", load_settings().cache_root)

    def run(rows):
        export(store, tmp_path / "feast", FREE)
        argument = json.dumps([[n, user, item, t.isoformat()] for n, (user, item, t) in enumerate(rows)])
        command = [str(feast_python), "-W", "ignore", "-c", IN_FEAST, argument]
        done = subprocess.run(command, cwd=tmp_path / "feast", capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout.splitlines()[-1])
        values = {k: [[row[f] for f in FEATURES] for row in json.loads(v)] for k, v in found.items()}
        return values["True"], values["False"]

    return run


def _as_of(ds):
    return datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(days=1)


def _known(user, t):
    """What Nightmill's as-of join gives for als_rank, item and user features: the night known last at t."""
    first = _as_of(FIRST) + timedelta(hours=40) <= t
    second = _as_of(SECOND) + timedelta(hours=6) <= t
    item = 1 if first else 2 if second else None
    user_value = item if user == "1" else 2 if second else None
    return [user_value, item, user_value]


def test_the_real_feast_agrees_where_it_heeds_known_at(joined):
    hours = [_as_of(FIRST) + timedelta(hours=h) for h in (-1, 0, 24, 29, 30, 31, 39)]
    rows = [(user, item, t) for user, item in PAIRS for t in hours]
    later = [(user, item, _as_of(FIRST) + timedelta(hours=40)) for user, item in PAIRS]
    ttl = timedelta(days=TABLES["user_features"].ttl_days)
    edge = [("12", "3", _as_of(SECOND) + ttl + late) for late in (timedelta(0), timedelta(microseconds=1))]
    heeding, by_default = joined(rows + later + edge)
    assert heeding[: len(rows)] == [_known(user, t) for user, _, t in rows]
    # A row that is exactly as old as its time to live is not too old.
    assert [row[2] for row in heeding[-2:]] == [2, None]
    # The first night became known after the second. Of two rows that are known Feast takes the newer as_of,
    # Nightmill the one known last: the second stands against the first.
    assert [row[1] for row in heeding[len(rows) : -2]] == [2, 2, 2]
    assert [_known(user, t)[1] for user, _, t in later] == [1, 1, 1]
    # By default as_of alone counts: each night is used from the end of its day on, hours before it existed.
    assert [row[1] for row in by_default[: len(hours)]] == [None, 1, 2, 2, 2, 2, 2]
