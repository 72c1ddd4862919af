"""Two users can be judged: one took the second item of her list, the other something his list left out."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import log2
from typing import Any

import pytest

from feature_store.partitions import Store, read
from feature_store.settings import Settings
from jobs.evaluate import JOB
from jobs.night import end_of
from jobs.recommender.measures import LIST_METRICS
from jobs.step import execute

LISTED, JUDGED = date(1998, 1, 10), date(1998, 1, 17)
START = end_of(LISTED)
Publish = Callable[..., None]


def event(user: str, item: str, when: datetime) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event_time": when, "event_type": "rating", "weight": 1.0}


BEFORE = [
    event("u1", "a", START - timedelta(microseconds=1)),
    event("u2", "b", datetime(1998, 1, 9, tzinfo=UTC)),
    event("u3", "c", datetime(1998, 1, 9, tzinfo=UTC)),
]
AFTER = [
    event("u1", "c", START),
    event("u1", "a", datetime(1998, 1, 12, tzinfo=UTC)),  # taken before: neither for nor against
    event("u2", "d", START + timedelta(days=7, microseconds=-1)),
    event("u4", "e", datetime(1998, 1, 12, tzinfo=UTC)),  # has no list
]


def candidate(user: str, item: str, rank: int, **ranks: int) -> dict[str, Any]:
    columns = {f"{channel}_rank": place for channel, place in ranks.items()}
    return {
        "user_id": user,
        "item_id": item,
        "rank": rank,
        "score": 1 / rank,
        "channels": [*ranks],
        **columns,
    }


CANDIDATES = [
    candidate("u1", "b", 1, als=1, trending=2),
    candidate("u1", "d", 2, trending=1),
    candidate("u1", "c", 3, als=2),
    candidate("u2", "a", 1, als=1, trending=1),
    candidate("u2", "c", 2, trending=2),
    candidate("u2", "d", 3, content=1),
    candidate("u3", "a", 1, als=1),
]


def listed(user: str, items: str, stage: str = "ranker") -> list[dict[str, Any]]:
    places = enumerate(items, 1)
    return [{"user_id": user, "item_id": item, "rank": n, "score": -n, "stage": stage} for n, item in places]


LISTS = listed("u1", "bc") + listed("u2", "ca") + listed("u3", "ab")


def publish_lists(publish: Publish, settings: Settings, lists: list[dict[str, Any]] = LISTS) -> None:
    """Publish the night of the lists, and what the judging night itself must have."""
    catalogue = [{"item_id": item, "title": item} for item in "abcde"]
    for ds, events in ((LISTED, BEFORE), (JUDGED, [*BEFORE, *AFTER])):
        publish(settings, "ingest", ds, {"interactions": events, "items": catalogue, "users": []})
    publish(settings, "fit_recall", LISTED, {"candidates": CANDIDATES})
    publish(settings, "recommend", LISTED, {"recommendations": lists})
    publish(settings, "recommend", JUDGED, {"recommendations": []})


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(EVALUATE__CUTOFFS="[1, 2]", EVALUATE__HORIZON_DAYS="7", TIME__MODE="simulated")


def values(settings: Settings, ds: date = JUDGED, part: str = "all") -> dict[tuple[str, str, int, str], Any]:
    """What the evaluation of ds published of a slice: (stage, metric, k, compared_to) -> row."""
    partition = Store(settings.data_root).published("evaluations", ds)
    assert partition is not None
    rows = read("evaluations", partition.files).to_pylist()
    return {
        (row["stage"], row["metric"], row["k"], row["compared_to"]): row
        for row in rows
        if row["slice"] == part
    }


def test_metrics_are_those_computed_by_hand(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    found = values(settings)
    assert found["ranker", "ndcg_at_k", 2, ""]["value"] == pytest.approx(1 / log2(3) / 2)
    assert found["ranker", "ndcg_at_k", 1, ""]["value"] == 0
    assert found["ranker", "recall_at_k", 2, ""]["value"] == 0.5
    assert found["ranker", "hit_rate_at_k", 2, ""]["value"] == 0.5
    assert found["content", "ndcg_at_k", 1, ""]["value"] == 0.5
    assert found["candidates", "recall_at_k", 2, ""]["value"] == 0
    assert found["ranker", "mrr_at_k", 2, ""]["value"] == 0.25
    assert {row["users"] for key, row in found.items() if key[1] in LIST_METRICS} == {2}
    assert {row["evaluated_ds"] for row in found.values()} == {LISTED}
    assert {row["input_max_event_time"] for row in found.values()} == {AFTER[2]["event_time"]}


def test_published_lists_are_compared_with_every_other_stage(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    found = values(settings)
    against = {key[3] for key in found if key[3]}
    assert against == {"candidates", "als", "trending", "content"}
    # ALS has the same item in the same place for u1, and nothing for u2 either.
    assert found["ranker", "ndcg_at_k", 2, "als"]["value"] == 0
    assert found["ranker", "recall_at_k", 1, "content"]["value"] == -0.5


def test_candidate_recall_says_what_only_one_channel_found(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    found = values(settings)
    assert found["candidates", "candidate_recall_at_n", 3, ""]["value"] == 1
    assert found["als", "candidate_recall_at_n", 2, ""]["value"] == 0.5
    assert found["als", "candidate_recall_gain_at_n", 2, ""]["value"] == 0.5
    assert found["trending", "candidate_recall_gain_at_n", 2, ""]["value"] == 0
    assert found["content", "candidate_recall_gain_at_n", 1, ""]["value"] == 0.5


def test_coverage_counts_every_list_judged_or_not(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    row = values(settings)["ranker", "item_coverage", 2, ""]
    assert (row["value"], row["low"], row["users"]) == (3 / 5, None, 3)


def test_what_lists_are_like_is_measured_beside_how_right_they_are(
    publish: Publish, settings: Settings
) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    found = values(settings)
    # Three users before; b and c were taken by one of them each, as was a: (1 + 1) / (1 + 3) is one bit
    assert found["ranker", "novelty", 2, ""]["value"] == pytest.approx(1)
    # d was taken by nobody: two bits
    assert found["content", "novelty", 1, ""]["value"] == pytest.approx(2)
    assert ("ranker", "popularity_bias", 2, "") in found
    # No categories, no vectors: neither calibration nor diversity can be measured.
    assert not {"miscalibration", "intra_list_diversity"} & {key[1] for key in found}


def test_diversity_is_by_vectors_where_the_night_has_them(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    vectors = [{"item_id": item, "embedding": [1.0, float(item == "c")], "model_id": "m"} for item in "abc"]
    publish(settings, "embed", LISTED, {"item_embeddings": vectors, "user_embeddings": []})
    execute(JOB, JUDGED, settings)
    assert values(settings)["ranker", "intra_list_diversity", 2, ""]["value"] == pytest.approx(1 - 0.5**0.5)


def test_slices_judge_by_their_own_items_and_users(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    cold = settings.cold_start.model_copy(update={"max_events": 0})
    execute(JOB, JUDGED, settings.model_copy(update={"cold_start": cold}))
    # c had an event before the night, d had none: u1 took a warm item, u2 a cold one.
    warm, new = values(settings, part="warm_item"), values(settings, part="cold_item")
    assert warm["ranker", "ndcg_at_k", 2, ""]["value"] == pytest.approx(1 / log2(3))
    assert new["ranker", "ndcg_at_k", 2, ""]["value"] == 0
    assert new["content", "hit_rate_at_k", 1, ""]["value"] == 1
    assert new["content", "candidate_recall_at_n", 1, ""]["value"] == 1
    assert {row["users"] for row in warm.values()} == {row["users"] for row in new.values()} == {1}
    # Both had one event before, which is the usual number.
    assert values(settings, part="active_user")["ranker", "hit_rate_at_k", 2, ""]["value"] == 0.5
    assert values(settings, part="new_user") == {}


def test_items_taken_again_count_where_repeats_do(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    again = settings.recall.model_copy(update={"repeats": True})
    execute(JOB, JUDGED, settings.model_copy(update={"recall": again}))
    # u1 took a and c, and c is on the list
    found = values(settings)
    assert found["ranker", "recall_at_k", 2, ""]["value"] == 0.25


def test_how_often_items_are_taken_is_told_by_their_score(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    found = values(settings).items()
    deciles = {key[2]: row["value"] for key, row in found if key[1] == "taken_share_in_decile"}
    # Scores are -1 and -2, of each user one: the hit of u1 is the worse of the two.
    assert [deciles[k] for k in sorted(deciles)] == [0.5, 0.0]


def test_published_lists_are_compared_with_those_of_a_week_before(
    publish: Publish, settings: Settings
) -> None:
    publish_lists(publish, settings)
    for days, lists in ((1, "ed"), (6, "da"), (20, "dd")):
        earlier = LISTED - timedelta(days=days)
        publish(settings, "recommend", earlier, {"recommendations": listed("u3", lists[:1])})
    execute(JOB, JUDGED, settings)
    row = values(settings)["ranker", "ndcg_at_k", 1, "earlier night"]
    # u3 took c on the 9th, which the list of the 4th (6 days before the 10th) had not.
    assert (row["value"], row["compared_ds"], row["users"]) == (0, LISTED - timedelta(days=6), 3)


def test_a_night_younger_than_the_horizon_is_not_judged(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    catalogue = [{"item_id": "a"}]
    day_before = JUDGED - timedelta(days=1)
    tables = {"interactions": BEFORE, "items": catalogue, "users": []}
    publish(settings, "ingest", day_before, tables)
    publish(settings, "recommend", day_before, {"recommendations": []})
    outcome = execute(JOB, day_before, settings)
    assert values(settings, day_before) == {}
    assert "no night with recommendations is 7 days older" in outcome.notes[-1]


def test_a_table_that_is_behind_the_night_is_named(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    # The night itself has lists and a catalogue; recall was last run a week before.
    said = [note for note in execute(JOB, JUDGED, settings).notes if "fresh_days" in note]
    assert [note.split(" ")[0] for note in said] == ["candidates"]


def test_without_a_ranker_recall_is_what_was_published(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings, listed("u1", "bd", "candidates") + listed("u2", "ac", "candidates"))
    execute(JOB, JUDGED, settings)
    found = values(settings)
    assert {key[0] for key in found} == {"candidates", "als", "trending", "content"}
    assert ("candidates", "ndcg_at_k", 2, "content") in found


def test_nobody_came_back(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings, listed("u3", "ab"))
    execute(JOB, JUDGED, settings)
    assert {key[1] for key in values(settings)} == {"item_coverage"}


def test_a_later_report_is_not_replaced_by_a_backfill(publish: Publish, settings: Settings) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    newest = (settings.data_root / "report.html").read_text("utf-8")
    execute(JOB, LISTED, settings)
    assert (settings.data_root / "report.html").read_text("utf-8") == newest
    assert (settings.data_root / "reports" / f"{LISTED}.html").exists()


def test_a_report_that_was_never_written_is_written_without_judging_again(
    publish: Publish, settings: Settings
) -> None:
    publish_lists(publish, settings)
    execute(JOB, JUDGED, settings)
    report = settings.data_root / "reports" / f"{JUDGED}.html"
    written = report.stat().st_mtime_ns
    assert execute(JOB, JUDGED, settings).nothing_to_do
    assert report.stat().st_mtime_ns == written
    report.unlink()
    assert execute(JOB, JUDGED, settings).nothing_to_do
    assert report.exists()
