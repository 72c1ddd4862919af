from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.contract import GROUPS
from feature_store.partitions import Store, read
from jobs.ablate import JOB
from jobs.step import execute

DS = date(2026, 2, 1)
WINDOWS = [date(2026, 1, 11) + timedelta(days=7 * n) for n in range(3)]


def lists(window, users=30):
    """What is taken is what the cosine says; the price is noise."""
    draw = np.random.default_rng(window.day)
    found = []
    for user in range(users):
        cosines = draw.random(6)
        for item, cosine in enumerate(cosines):
            found.append(
                {
                    "user_id": f"u{user:02}",
                    "item_id": f"i{item}",
                    "query_time": datetime(*window.timetuple()[:3], 12, tzinfo=UTC) + timedelta(days=1),
                    "window": window,
                    "label": int(cosine == cosines.max()),
                    "relevant_count": 1,
                    "als_rank": 1 + item,
                    "llm_pair_embedding_similarity": cosine,
                    "llm_pair_interests_overlap": int(draw.integers(0, 3)),
                    "item_cold": item < 2,
                    "item_price": draw.random(),
                }
            )
    return found


@pytest.fixture
def ablations(make_settings, publish):
    """`ablations(training_set)`: the rows by group after a night."""

    def run(rows, ds=DS, fresh=False, **overrides):
        settings = make_settings(RANKER__MIN_DATA_IN_LEAF="2", RANKER__MIN_GROUPS="5", **overrides)
        events = [
            {"user_id": f"u{n:02}", "item_id": "i0", "event_time": datetime(2026, 1, 2, tzinfo=UTC)}
            for n in range(30)
        ]
        items = [{"item_id": f"i{n}", "title": f"Item {n}"} for n in range(6)]
        publish(settings, "ingest", ds, {"interactions": events, "items": items})
        publish(settings, "build_training_set", ds, {"training_set": rows, "synthetic_pairs": []})
        publish(settings, "profile_items", ds, {"item_profiles": []})
        keys = [{"user_id": "u00", "generation_key": "k1"}, {"user_id": "u01", "generation_key": "k2"}]
        publish(settings, "profile_users", ds, {"user_profiles": keys})
        publish(settings, "embed", ds, {"item_embeddings": [], "user_embeddings": []})
        publish(settings, "simulate_cold_start", ds, {"synthetic_interactions": []})
        answers = [
            {"key": key, "prompt_tokens": 400, "output_tokens": 100, "seconds": 2.0} for key in ["k1", "k2"]
        ]
        write_generations(settings.data_root, answers)
        execute(JOB, ds, settings, fresh=fresh)
        found = read("ablations", Store(settings.data_root).published("ablations", ds).files).to_pylist()
        return {group: [row for row in found if row["feature_group"] == group] for group in GROUPS}

    return run


def write_generations(root, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from feature_store.contract import GENERATIONS_SCHEMA

    blank = {f.name: "" if f.type == pa.string() else 0 for f in GENERATIONS_SCHEMA if not f.nullable}
    blank["created_at"] = datetime(2026, 1, 1, tzinfo=UTC)
    folder = root / "generations" / "profile_user"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([blank | row for row in rows], GENERATIONS_SCHEMA)
    pq.write_table(table, folder / "part-0.parquet")


def test_each_group_has_its_lift_its_placebo_its_control_and_its_price(ablations):
    found = ablations([row for window in WINDOWS for row in lists(window)])
    kinds = {(r["variant"], r["compared_to"], r["slice"]): r for r in found["embeddings"]}
    alone = kinds["group", "without", "all"]
    assert alone["verdict"] == "keep"
    assert alone["low"] > 0.1
    assert alone["users"] == 30
    assert alone["window"] == WINDOWS[-1]
    assert kinds["placebo", "without", "all"]["low"] < 0
    assert ("group", "control", "all") in kinds
    assert ("group", "without", "cold") in kinds
    assert {row["verdict"] for row in found["user_text"]} != {"keep"}


def test_tokens_are_those_behind_the_published_rows(ablations):
    found = ablations([row for window in WINDOWS for row in lists(window)])["user_text"]
    assert {(row["tokens"], row["seconds"], row["cost"]) for row in found} == {(1000, 4.0, 0.0)}
    (alone,) = (
        r for r in found if (r["variant"], r["compared_to"], r["slice"]) == ("group", "without", "all")
    )
    assert alone["lift_per_million_tokens"] == pytest.approx(alone["lift"] * 1000)
    assert {r["lift_per_million_tokens"] for r in found if r["variant"] != "group"} == {None}


def test_a_price_is_what_the_tokens_cost(ablations):
    price = {"GENERATION__PRICE__READ": "10.0", "GENERATION__PRICE__WRITTEN": "100.0"}
    found = ablations([], **price)["user_text"]
    assert [row["cost"] for row in found] == [pytest.approx((800 * 10 + 200 * 100) / 1e6)]


@pytest.mark.parametrize(
    ("windows", "said"), [(0, "there are 0 label windows"), (1, "there are 1 label windows")]
)
def test_without_two_windows_every_group_is_unsure_and_says_why(ablations, windows, said):
    found = ablations([row for window in WINDOWS[:windows] for row in lists(window)])
    assert list(found) == list(GROUPS)
    for (row,) in found.values():
        assert row["verdict"] == "unsure"
        assert said in row["reason"]
        assert row["lift"] is None


def test_what_was_measured_is_used_until_it_is_too_old(ablations):
    rows = [row for window in WINDOWS for row in lists(window)]

    def measured_on(days, **more):
        found = ablations(rows, DS + timedelta(days=days), **more)
        return {row["measured_ds"] for group in found.values() for row in group}

    week = {"ABLATION__DAYS": "3"}
    first = ablations(rows, **week)
    assert measured_on(1, **week) == {DS}
    assert measured_on(2, fresh=True, **week) == {DS + timedelta(days=2)}
    # That search is one day old, the one before three.
    assert measured_on(3, **week) == {DS + timedelta(days=2)}
    assert measured_on(5, **week) == {DS + timedelta(days=5)}
    # Another setting, and every night for itself.
    assert measured_on(6, ABLATION__WORTHWHILE="0.5", **week) == {DS + timedelta(days=6)}
    assert measured_on(7) == {DS + timedelta(days=7)}
    assert first["embeddings"][0]["measured_for"]


def test_that_nothing_could_be_measured_yet_is_not_carried_forward(ablations):
    ablations([], ABLATION__DAYS="3")
    rows = [row for window in WINDOWS for row in lists(window)]
    found = ablations(rows, DS + timedelta(days=1), ABLATION__DAYS="3")
    assert found["embeddings"][0]["measured_ds"] == DS + timedelta(days=1)
