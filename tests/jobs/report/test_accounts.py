"""Refusals, sources, stored answers and the ranker, from files written by hand."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.recommender.contributions import words
from jobs.report import accounts

DS = date(1998, 1, 7)
Publish = Callable[..., None]


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


def test_refusals_are_grouped_with_a_few_examples(publish: Publish, settings: Settings) -> None:
    refused = [{"entity_id": f"i{n}", "reason": "truncated", "detail": "cut", "raw": None} for n in range(5)]
    refused.append({"entity_id": "i9", "reason": "unsafe", "detail": "a person", "raw": "{}"})
    publish(settings, "profile_items", DS, {"item_profiles": []}, {}, refused)
    found = accounts.refusals(Store(settings.data_root), DS)
    assert [(r.job, r.reason, r.count) for r in found] == [
        ("profile_items", "truncated", 5),
        ("profile_items", "unsafe", 1),
    ]
    assert [example["entity_id"] for example in found[0].examples] == ["i0", "i1", "i2"]
    assert accounts.refusals(Store(settings.data_root), date(1998, 1, 8)) == []


def test_sources_name_prompt_and_model(publish: Publish, settings: Settings) -> None:
    profile = {"model_id": "m", "model_revision": "r", "prompt_name": "profile_item", "prompt_version": "2"}
    rows = [{"item_id": item, "prompt_hash": "ff", **profile} for item in "ab"]
    publish(settings, "profile_items", DS, {"item_profiles": rows})
    vector = {"item_id": "a", "embedding": [1.0], "model_id": "e", "model_revision": "s"}
    publish(settings, "embed", DS, {"item_embeddings": [vector], "user_embeddings": []})
    learnt = {"item_id": "a", "shown": [1.0], "wanted": [1.0], "model_id": "e"}
    publish(settings, "align_embeddings", DS, {"aligned_items": [learnt], "alignments": [{"model_id": "e"}]})
    assert accounts.sources(Store(settings.data_root), DS) == [
        accounts.Source("item_profiles", 2, "m", "r", "profile_item v2", "ff"),
        accounts.Source("item_embeddings", 1, "e", "s", "", ""),
    ]


def test_answers_add_up_over_all_parts(tmp_path: Path) -> None:
    folder = tmp_path / "generations" / "profile_item"
    folder.mkdir(parents=True)
    said = {"prompt_name": "profile_item", "prompt_version": "1", "model_id": "m"}
    spent = {"prompt_tokens": 100, "cached_tokens": 60, "output_tokens": 7}
    for n in range(2):
        pq.write_table(pa.Table.from_pylist([{**said, **spent}] * 3), folder / f"part-{n}.parquet")
    assert accounts.answers(Store(tmp_path)) == [accounts.Answers("profile_item v1", "m", 6, 600, 360, 42)]
    assert accounts.answers(Store(tmp_path / "empty")) == []


def test_what_moved_the_scores_adds_up_by_group(publish: Publish, settings: Settings) -> None:
    reasons = [
        "score of the als channel 0.31: +0.3",
        f"{words('item_events_count_7d')} 1,204: -0.1",
        "tags of the item that are interests of the user unknown: +0.1",
    ]
    rows = [
        {"user_id": "u", "item_id": "i", "rank": 1, "contributions": reasons},
        {"user_id": "u", "item_id": "j", "rank": 11, "contributions": [f"{words('user_cold')} yes: +9"]},
    ]
    publish(settings, "recommend", DS, {"recommendations": rows})
    assert accounts.moved_scores(Store(settings.data_root), DS) == [
        ("recall", pytest.approx(0.6)),
        ("behaviour", pytest.approx(0.2)),
        ("user_text", pytest.approx(0.2)),
    ]


def test_lists_without_reasons_have_nothing_that_moved_them(publish: Publish, settings: Settings) -> None:
    publish(settings, "recommend", DS, {"recommendations": [{"user_id": "u", "item_id": "i", "rank": 1}]})
    store = Store(settings.data_root)
    assert accounts.moved_scores(store, DS) == []
    assert accounts.moved_scores(store, date(1998, 1, 8)) == []


def test_a_ranker_that_was_kept_says_whose_it_is(publish: Publish, settings: Settings) -> None:
    kept = {"status": "kept", "trained_ds": date(1998, 1, 1), "challenger_lift": -0.01}
    publish(settings, "train_ranker", DS, {"rankers": [kept]})
    ranker = accounts.ranker(Store(settings.data_root), DS)
    assert ranker is not None
    assert (ranker.status, ranker.trained_ds) == ("kept", date(1998, 1, 1))
    assert ranker.challenger == (-0.01, None, None)


def test_the_ranker_by_feature_and_by_group(publish: Publish, settings: Settings) -> None:
    features = ["als_score", "user_events_count_7d", "llm_pair_interests_overlap", "item_profile_present"]
    row = {"status": "trained", "features": features, "importances": [50.0, 20.0, 25.0, 5.0], "rows": 9}
    publish(settings, "train_ranker", DS, {"rankers": [row]})
    ranker = accounts.ranker(Store(settings.data_root), DS)
    assert ranker is not None
    assert [(i.feature, i.share) for i in ranker.importances][:2] == [
        ("als_score", 0.5),
        ("llm_pair_interests_overlap", 0.25),
    ]
    assert ranker.group_shares() == [
        ("recall", 0.5),
        ("user_text", 0.25),
        ("behaviour", 0.2),
        ("item_text", 0.05),
    ]
    assert accounts.ranker(Store(settings.data_root), date(1998, 1, 8)) is None
