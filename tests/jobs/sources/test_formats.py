"""Every profile's format through the job itself, gate included."""

import json
import subprocess
import sys
from datetime import date

import pytest

from feature_store.partitions import Store, read
from feature_store.settings import REPOSITORY, SETTINGS_FOLDER
from jobs.ingest import JOB
from jobs.sources.formats import FORMATS
from jobs.step import execute

REVIEW = {"reviewerID": "u", "asin": "i", "overall": 5.0, "unixReviewTime": 1388534400}
META = {"asin": "i", "title": "Thing", "categories": [["A", "B"]], "category": ["A", "B"], "price": "$2.00"}
CASES = {
    "amazon_2014": ({"reviews_X_5.json": json.dumps(REVIEW), "meta_X.json": repr(META)}, "2014-01-01"),
    "amazon_2018": ({"X_5.json": json.dumps(REVIEW), "meta_X.json": json.dumps(META)}, "2014-01-01"),
    "amazon_2023": (
        {
            "X.jsonl": '{"user_id": "u", "parent_asin": "i", "rating": 5.0, "timestamp": 1388534400000}',
            "meta_X.jsonl": '{"parent_asin": "i", "title": "Thing", "categories": ["A", "B"]}',
        },
        "2014-01-01",
    ),
    "mind": (
        {
            "behaviors.tsv": "1\tu\t11/13/2019 8:36:57 AM\t\ti-1",
            "news.tsv": "i\tA\tB\tThing\t\thttps://x\t[]\t[]",
        },
        "2019-11-13",
    ),
    "movielens_100k": (
        {"u.data": "u\ti\t5\t883612800", "u.item": "i|Thing|||x|0|1|1" + "|0" * 16},
        "1998-01-01",
    ),
    "movielens_1m": ({"ratings.dat": "u::i::5::978300760", "movies.dat": "i::Thing::A|B"}, "2000-12-31"),
    "movielens_latest": (
        {
            "ratings.csv": "userId,movieId,rating,timestamp\nu,i,5.0,1388534400",
            "movies.csv": "movieId,title,genres\ni,Thing,A|B",
        },
        "2014-01-01",
    ),
}


@pytest.mark.parametrize("profile", CASES)
def test_a_publishers_files_become_the_three_tables(settings_of, profile):
    files, day = CASES[profile]
    settings = settings_of(files, profile=profile)
    ds = date.fromisoformat(day)
    execute(JOB, ds, settings)
    store = Store(settings.data_root)
    (event,), (item,), (user,) = (
        read(table, store.published(table, ds).files).to_pylist()
        for table in ("interactions", "items", "users")
    )
    assert (event["user_id"], event["item_id"], event["event_time"].date()) == ("u", "i", ds)
    assert (item["item_id"], item["title"], len(item["categories"])) == ("i", "Thing", 2)
    assert user["user_id"] == "u"


def test_every_format_has_a_profile():
    profiles = {path.stem.replace("_", "-") for path in SETTINGS_FOLDER.glob("*.toml")}
    assert set(FORMATS) - {"auto", "recbole"} <= profiles


def test_a_night_without_news_does_not_wait_for_pandas():
    # Arrow imports it with the first array that is made of Python values
    code = "import sys, jobs.ingest; print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
