import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.partitions import Store, read
from jobs.recommender.groups import FEATURES, GIVEN, features_of
from jobs.step import execute
from jobs.train_ranker import JOB

EVE, DS = date(2026, 1, 31), date(2026, 2, 1)
WINDOWS = [date(2026, 1, 4) + timedelta(days=7 * n) for n in range(4)]
RANKER = {"RANKER__MIN_DATA_IN_LEAF": "2", "RANKER__MIN_GROUPS": "5", "RANKER__TRIALS": "0"}


def lists(window, users=12, decides="als_score", seed=0):
    """Lists of six candidates; the one with the largest `decides` was taken."""
    draw = np.random.default_rng([seed, window.day])
    rows = []
    for user in range(users):
        scores = draw.random(6)
        for item, score in enumerate(scores):
            rows.append(
                {
                    "user_id": f"u{user:02}",
                    "item_id": f"i{item}",
                    "query_time": datetime(*window.timetuple()[:3], 12, tzinfo=UTC) + timedelta(days=1),
                    "window": window,
                    "label": int(score == scores.max()),
                    "relevant_count": 1,
                    "als_rank": 1,
                    "als_score": draw.random(),
                    "llm_pair_embedding_similarity": draw.random(),
                    "input_max_event_time": datetime(*window.timetuple()[:3], 12, tzinfo=UTC)
                    + timedelta(days=6),
                }
                | {decides: score}
            )
    return rows


@pytest.fixture
def night(make_settings, publish):
    """`night(windows, verdicts, ds)`: the training set and the verdicts of a night."""

    def prepare(rows, verdicts=(), ds=DS, told=(), **overrides):
        settings = make_settings(**RANKER | overrides)
        publish(settings, "build_training_set", ds, {"training_set": rows, "synthetic_pairs": told})
        said = [
            {"feature_group": group, "verdict": verdict, "window": ds}
            for group, verdict in dict(verdicts).items()
        ]
        publish(settings, "ablate", ds, {"ablations": said})
        return settings

    return prepare


def all_windows(**how):
    return [row for window in WINDOWS for row in lists(window, **how)]


def ranker(settings, ds=DS):
    execute(JOB, ds, settings)
    (row,) = read("rankers", Store(settings.data_root).published("rankers", ds).files).to_pylist()
    return row


def test_a_ranker_is_trained_on_the_label_windows(night):
    row = ranker(night(all_windows()))
    assert (row["status"], row["reason"], row["trained_ds"]) == ("trained", "", DS)
    assert (row["windows"], row["groups"], row["positives"], row["rows"]) == (4, 48, 48, 288)
    assert row["features"] == list(features_of(GIVEN))
    assert row["feature_groups"] == list(GIVEN)
    assert row["margin_channels"] == ["als", "item_knn", "trending", "trending_category", "repeat"]
    gains = dict(zip(row["features"], row["importances"], strict=True))
    assert max(gains, key=lambda name: gains[name]) == "als_score"
    assert row["valid_ndcg_at_10"] > 0.8
    assert row["champion_ds"] is row["challenger_lift"] is None
    assert row["input_max_event_time"] == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_group_is_used_when_its_verdict_is_keep(night):
    rows = all_windows(decides="llm_pair_embedding_similarity")
    without = ranker(night(rows, {"embeddings": "unsure"}, ds=EVE), EVE)
    with_it = ranker(night(rows, {"embeddings": "keep"}))
    assert "embeddings" not in without["feature_groups"]
    assert with_it["feature_groups"] == [*GIVEN, "embeddings"]
    assert with_it["valid_ndcg_at_10"] > without["valid_ndcg_at_10"] + 0.2


def answers(window):
    """The model prefers whatever costs more: two rows a question."""
    draw = np.random.default_rng(window.day)
    rows = []
    for user in range(60):
        prices = draw.random(2)
        for place in range(2):
            rows.append(
                {
                    "user_id": f"u{user:02}",
                    "item_id": f"c{place}",
                    "other_item_id": f"c{1 - place}",
                    "query_time": datetime(*window.timetuple()[:3], 12, tzinfo=UTC) + timedelta(days=1),
                    "window": window,
                    "label": int(prices[place] == prices.max()),
                    "weight": 0.9,
                    "item_price": prices[place],
                }
            )
    return rows


def test_synthetic_pairs_are_learnt_from_when_their_verdict_is_keep(night):
    rows = all_windows(decides="item_price", seed=1)
    told = [row for window in WINDOWS for row in answers(window)]
    nights = [DS, DS + timedelta(days=1), DS + timedelta(days=2)]
    plain = ranker(night(rows, ds=nights[0]), nights[0])
    dropped = ranker(night(rows, {"synthetic": "drop"}, nights[1], told), nights[1])
    kept = ranker(night(rows, {"synthetic": "keep"}, nights[2], told), nights[2])
    assert dropped["model_text"] == plain["model_text"]
    assert kept["model_text"] != plain["model_text"]
    assert kept["feature_groups"] == [*GIVEN, "synthetic"]
    # they are no evidence: nothing of what is counted or measured knows them
    for name in ("windows", "groups", "rows", "positives", "features", "margin_weights"):
        assert kept[name] == plain[name]


def test_the_setting_overrides_the_verdict(night):
    row = ranker(night(all_windows(), {"embeddings": "drop"}, RANKER__GROUPS='["all"]'))
    assert row["features"] == list(FEATURES)


def test_with_too_few_lists_it_says_so_and_recall_scores_have_to_do(night):
    settings = night(lists(WINDOWS[-1], users=3))
    outcome = execute(JOB, DS, settings)
    row = ranker(settings)
    assert (row["status"], row["model_text"], row["trained_ds"]) == ("fallback", "", None)
    assert row["reason"].startswith("3 earlier lists have both taken and untaken candidates and a ranker")
    assert any(row["reason"] in note for note in outcome.notes)


def test_the_first_night_has_nothing_to_learn_from(night):
    row = ranker(night([]))
    assert (row["status"], row["rows"], row["input_max_event_time"]) == ("fallback", 0, None)


def test_lists_of_which_nothing_was_taken_are_no_reason_to_fail(night):
    rows = [row | {"label": 0} for row in all_windows()]
    assert ranker(night(rows))["status"] == "fallback"


def test_parameters_are_searched_for_and_used_again_until_they_are_too_old(night, publish):
    """The first search finds other parameters, since those of the settings can learn nothing."""
    how = {"RANKER__NUM_LEAVES": "2", "RANKER__MIN_DATA_IN_LEAF": "100000", "RANKER__TRIALS": "2"}
    first = ranker(night(all_windows(), ds=EVE, **how), EVE)
    assert first["tuned_ds"] == EVE
    assert json.loads(first["parameters"])["min_data_in_leaf"] <= 200
    again = ranker(night(all_windows(), **how))
    assert (again["tuned_ds"], again["parameters"]) == (EVE, first["parameters"])
    anew = ranker(night(all_windows(), **how, TUNING__DAYS="1"))
    assert anew["tuned_ds"] == DS


# -- champion and challenger ---------------------------------------------------------------------------

EARLIER = date(2026, 1, 25)


@pytest.fixture
def champion(night):
    """The ranker of a week ago, of the first three windows: nothing of the fourth was known then."""

    def prepare(**how):
        settings = night([row for window in WINDOWS[:3] for row in lists(window, **how)], ds=EARLIER)
        return ranker(settings, EARLIER)

    return prepare


def test_a_challenger_as_good_as_the_champion_replaces_it(night, champion):
    champion()
    row = ranker(night(all_windows()))
    assert (row["status"], row["trained_ds"], row["champion_ds"]) == ("trained", DS, EARLIER)
    assert row["challenger_low"] <= row["challenger_lift"] <= row["challenger_high"]


def test_a_challenger_that_is_worse_with_confidence_does_not(night, champion):
    """The older windows of tonight's training set teach the wrong thing; the champion's did not."""
    before = champion(users=40)
    wrong = [row for window in WINDOWS[:3] for row in lists(window, 40, "item_price")]
    right = lists(WINDOWS[3], 40)
    row = ranker(night(wrong + right))
    assert (row["status"], row["trained_ds"], row["champion_ds"]) == ("kept", EARLIER, EARLIER)
    assert row["challenger_high"] < 0
    assert row["model_text"] == before["model_text"]
    assert "worse than that of 2026-01-25" in row["reason"]


def test_a_ranker_that_learnt_from_the_newest_window_is_no_judge_of_it(night):
    ranker(night(all_windows(), ds=EVE), EVE)
    assert ranker(night(all_windows()))["champion_ds"] is None


def test_a_champion_whose_features_are_gone_is_passed_over(night, champion, publish):
    row = champion()
    settings = night(all_windows())
    publish(settings, "train_ranker", EARLIER, {"rankers": [row | {"features": ["no_such_feature"]}]})
    assert ranker(settings)["champion_ds"] is None
