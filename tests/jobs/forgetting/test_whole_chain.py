"""The proof: real nights, two users forgotten, and a search over all bytes before and after."""

import os
import subprocess
import sys
from datetime import date

import pyarrow.parquet as pq
import pytest

from feature_store import gates
from feature_store.partitions import Store, read_leniently
from feature_store.settings import REPOSITORY, load_settings
from feature_store.tables import TABLES
from jobs.forget import forget
from tests.jobs.forgetting.made_source import ACTIVE, NEWCOMER, OCCUPATIONS, one_more_day, write
from tests.jobs.forgetting.search import places

NIGHTS = (date(1998, 1, 7), date(1998, 1, 14))
NEEDLES = (ACTIVE, NEWCOMER, *OCCUPATIONS.values())
SMALL = {
    "GENERATION__ENGINE": "fake",
    "GENERATION__RECORD_INPUTS": "true",
    "SOURCE__USER_ATTRIBUTES": '["occupation"]',
    "SOURCE__MAX_REFUSED_SHARE": "0.1",
    "PROFILES__ITEM_MIN_EVENTS": "0",
    "COLD_START__ENABLED": "always",
    "TUNING__TRIALS": "0",
    "TUNING__MIN_USERS": "5",
    "RANKER__TRIALS": "0",
    "RANKER__MIN_GROUPS": "5",
    "RANKER__WINDOWS": "1",
    "ALIGNMENT__PASSES": "1",
    "REPORT__USERS": "50",
}

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    root = tmp_path_factory.mktemp("chain")
    write(root / "source")
    own = {"DATA": str(root / "data"), "SOURCE__LOCATION": str(root / "source")} | SMALL
    return {f"NIGHTMILL_{name}": value for name, value in own.items()}


def _nightmill(environ, *arguments):
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def _fail_a_check(root):
    """A gate that refused rows has written them into its pages, and its message into a task's log."""
    store = Store(root)
    (file,) = store.published("user_profiles", NIGHTS[1]).files
    rows = pq.read_table(file, partitioning=None)
    twice = root / "twice.parquet"
    pq.write_table(rows.take([*range(rows.num_rows)] * 2), twice)
    said = gates.check(TABLES["user_profiles"], [twice], NIGHTS[1], rows["run_id"][0].as_py(), root)
    twice.unlink()
    logs = root / "airflow" / "logs" / "dag_id=nightly"
    logs.mkdir(parents=True)
    named = f"user_profiles for {NIGHTS[1]} was not published: user_id={ACTIVE}; user_id={NEWCOMER}; {said}"
    (logs / "attempt=1.log").write_text(named + "\n", "utf-8")


def _values(root):
    """Every published value of everybody else, but for the name of the run that wrote it."""
    found, store = {}, Store(root)
    for table in TABLES:
        for partition in store.partitions(table):
            rows = read_leniently(TABLES[table].schema, partition.files)
            rows = rows.drop_columns([name for name in ("run_id",) if name in rows.column_names]).to_pylist()
            ids = {ACTIVE, NEWCOMER}
            found[table, partition.ds] = [r for r in rows if not ids & {r.get("user_id"), r.get("entity_id")}]
    return found


def test_nothing_is_left_of_two_users_of_two_real_nights(environ):
    settings = load_settings(environ)
    root = settings.data_root
    _nightmill(environ, "run", *(argument for ds in NIGHTS for argument in ("--ds", str(ds))))
    # Superseded runs, and links to those that are published.
    _nightmill(environ, "profile_users", "--ds", str(NIGHTS[1]), "--reprocess")
    _nightmill(environ, "export-feast")
    _fail_a_check(root)
    before, others = places(root, NEEDLES), _values(root)
    for kind in ("interactions", "users", "user_profiles", "user_embeddings", "lifetimes", "user_features"):
        assert any(place.startswith(f"tables/{kind}/") for place in before), kind
    for kind in ("user_factors", "candidates", "training_set", "recommendations", "synthetic_interactions"):
        assert any(place.startswith(f"tables/{kind}/") for place in before), kind
    for kind in (
        "inputs/",
        "generations/",
        "reports/",
        "feast/",
        "data_docs/",
        "airflow/logs/",
        "tables/items/",
    ):
        assert any(place.startswith(kind) for place in before), kind

    said = str(forget(Store(root), settings, [ACTIVE, NEWCOMER]))

    assert places(root, NEEDLES) == []
    assert _values(root) == others
    assert "left:" not in said
    # Nothing has a reason to be computed again, and the next night does not bring them back.
    again = _nightmill(environ, "run", *(argument for ds in NIGHTS for argument in ("--ds", str(ds))))
    assert again.count("nothing to do") == 2 * 15
    one_more_day(root.parent / "source")
    assert " 29 forgotten" in _nightmill(environ, "ingest", "--ds", "1998-01-15")
    assert places(root, NEEDLES) == []
