from typing import Any

from jobs.chain import CHAIN


def test_it_is_of_sunday_and_starts_when_that_has_ended(dags: dict[str, Any]) -> None:
    # January 11, 1998 was a Sunday.
    assert dags["weekly_training"]["next"] == ["1998-01-11 00:00:00+00:00", "1998-01-12 00:00:00+00:00"]


def test_what_is_searched_for_is_searched_anew_after_that_night(dags: dict[str, Any]) -> None:
    tasks = dags["weekly_training"]["tasks"]
    assert tasks["wait_for_nightly"]["waits_for"] == "nightly"
    fresh = {name for name, task in tasks.items() if "--fresh" in (task["command"] or [])}
    assert fresh == {"tune", "ablate"}
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "wait_for_nightly": [],
        "tune": ["wait_for_nightly"],
        "align_embeddings": ["wait_for_nightly"],
        "fit_recall": ["align_embeddings", "tune"],
        "build_training_set": ["fit_recall"],
        "ablate": ["build_training_set"],
        "train_ranker": ["ablate"],
        "recommend": ["train_ranker"],
        "evaluate": ["recommend"],
    }


def test_all_that_comes_after_what_is_searched_for_follows(dags: dict[str, Any]) -> None:
    first = CHAIN.index("fit_recall")
    assert set(CHAIN[first:]) <= set(dags["weekly_training"]["tasks"])


def test_later_nights_that_learnt_from_it_are_renewed(dags: dict[str, Any]) -> None:
    assert ["nights", "nightmill://nights/complete"] in dags["weekly_training"]["tasks"]["evaluate"][
        "outlets"
    ]
