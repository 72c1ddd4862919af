import multiprocessing
import os
import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from jobs import recommend
from jobs.recommend import JOB
from jobs.recommender.groups import FEATURES
from jobs.step import execute

DS = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def event(user, item, days):
    return {
        "user_id": user,
        "item_id": item,
        "event_time": NOON - timedelta(days=days),
        "event_type": "event",
        "weight": 1.0,
    }


def candidate(user, item, rank, score, **columns):
    row = {
        "user_id": user,
        "item_id": item,
        "rank": rank,
        "score": score,
        "channels": ["als"],
        "als_rank": rank,
    }
    return row | columns


EVENTS = [
    event("ann", "a", 1),
    event("bob", "a", 2),
    event("bob", "b", 3),
    event("new", "d", 1),
    event("gone", "c", 60),
]
CANDIDATES = [
    candidate("ann", "b", 1, 0.9),
    candidate("ann", "d", 2, 0.5),
    candidate("ann", "c", 3, 0.5),
    candidate("bob", "c", 1, 0.7, channels=["als", "content"]),
]
FALLBACK = {"status": "fallback", "reason": "too little history"}


def trained(features=FEATURES):
    """A ranker that prefers large ranks, which turns every list around."""
    import lightgbm

    generator = np.random.default_rng(0)
    values = generator.random((200, len(features)))
    values[:, features.index("als_rank")] = generator.integers(1, 4, 200)
    data = lightgbm.Dataset(values, values[:, features.index("als_rank")], feature_name=list(features))
    booster = lightgbm.train({"verbosity": -1, "num_leaves": 4, "learning_rate": 0.5}, data, 20)
    text = booster.model_to_string()
    return {"status": "trained", "model_text": text, "features": list(features), "trained_ds": DS}


@pytest.fixture
def settings(make_settings, publish):
    def prepare(
        ranker, candidates=CANDIDATES, items="abcd", events=EVENTS, features=(), gone="", **overrides
    ):
        settings = make_settings(**{"RECOMMEND__TOP": "2"} | overrides)
        catalogue = [
            {"item_id": name, "title": name, "attributes": "{}", "listed": name not in gone} for name in items
        ]
        publish(settings, "ingest", DS, {"interactions": events, "items": catalogue})
        publish(settings, "fit_recall", DS, {"candidates": candidates})
        publish(settings, "train_ranker", DS, {"rankers": [ranker]})
        publish(settings, "build_features", DS, {"item_features": features, "user_features": []})
        publish(settings, "embed", DS, {"item_embeddings": [], "user_embeddings": []})
        return settings

    return prepare


def rows(settings):
    found = read("recommendations", Store(settings.data_root).published("recommendations", DS).files)
    return found.sort_by([("user_id", "ascending"), ("rank", "ascending")]).to_pylist()


def lists(settings):
    found = {}
    for row in rows(settings):
        found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


def test_without_a_ranker_the_recall_scores_order_and_ties_go_by_item(settings):
    prepared = settings(FALLBACK, RECOMMEND__TOP="3")
    outcome = execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["b", "c", "d"]
    first = rows(prepared)[0]
    assert (first["rank"], first["score"], first["stage"], first["ranker_ds"]) == (1, 0.9, "candidates", None)
    assert first["channels"] == ["als"]
    assert first["input_max_event_time"] == NOON - timedelta(days=1)
    assert any("too little history" in note for note in outcome.notes)


def test_every_active_user_has_a_list_filled_from_what_is_trending(settings):
    prepared = settings(FALLBACK)
    outcome = execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["b", "c"], "bob": ["c", "d"], "new": ["a", "b"]}  # gone is not active
    filled = [row for row in rows(prepared) if row["user_id"] == "bob"]
    assert [row["channels"] for row in filled] == [["als", "content"], ["trending"]]
    assert filled[0]["score"] > filled[1]["score"]
    assert "recommend: 3 places of short lists were filled from what is trending" in outcome.notes


def test_a_seen_or_repeated_or_vanished_item_never_reaches_a_list(settings):
    tampered = [*CANDIDATES, candidate("ann", "a", 4, 9.0), candidate("ann", "x", 5, 8.0)]
    prepared = settings(FALLBACK, candidates=tampered, RECOMMEND__TOP="9")
    execute(JOB, DS, prepared)
    found = lists(prepared)
    assert found["ann"] == ["b", "c", "d"]
    assert all(count == 1 for items in found.values() for count in Counter(items).values())


def test_a_user_who_has_seen_everything_has_no_list(settings):
    prepared = settings(FALLBACK, candidates=[], items="ab")
    execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["b"], "new": ["a", "b"]}


def test_a_score_that_is_not_finite_is_refused(settings):
    with pytest.raises(NightmillError, match="not a finite number"):
        execute(JOB, DS, settings(FALLBACK, candidates=[candidate("ann", "b", 1, float("inf"))]))


def test_a_ranker_orders_the_candidates(settings):
    prepared = settings(trained(), RECOMMEND__TOP="3")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["c", "d", "b"]
    assert lists(prepared)["bob"] == ["c", "d"]
    first = rows(prepared)[0]
    assert (first["stage"], first["ranker_ds"]) == ("ranker", DS)
    assert len(first["ranker_version"]) == len(first["features_version"]) == 12
    assert first["contributions"][0].startswith("rank in the als channel 3: +")
    # what filled a list was not scored, so there is nothing to say about it
    assert rows(prepared)[4]["contributions"] == []


def test_a_ranker_of_its_margin_alone_orders_by_the_channels_and_explains_nothing(settings):
    margin = {"margin_channels": ["als"], "margin_weights": [2.0], "features": ["als_rank"], "trained_ds": DS}
    prepared = settings({"status": "kept", "model_text": ""} | margin, RECOMMEND__TOP="3")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["b", "d", "c"]
    assert rows(prepared)[0]["score"] == pytest.approx(2 * 60 / 61)
    assert not any(row["contributions"] for row in rows(prepared))


def test_only_the_first_places_are_explained(settings):
    prepared = settings(trained(), RECOMMEND__TOP="3", RECOMMEND__EXPLAINED="1")
    execute(JOB, DS, prepared)
    assert [bool(row["contributions"]) for row in rows(prepared)[:3]] == [True, False, False]


def test_what_only_a_channel_proposed_that_the_ranker_may_not_see_comes_last(settings):
    seen = [name for name in FEATURES if not name.startswith("content_")]
    candidates = [*CANDIDATES[:2], candidate("ann", "c", 9, 0.1, als_rank=None, content_rank=1)]
    prepared = settings(trained(tuple(seen)), candidates, RECOMMEND__TOP="3")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["d", "b", "c"]


def test_a_ranker_of_features_that_are_gone_is_refused_by_name(settings):
    prepared = settings(trained((*FEATURES, "item_charm_7d")))
    with pytest.raises(
        NightmillError, match=r"the ranker of 2026-01-31 .*\(item_charm_7d\): run `nightmill train"
    ):
        execute(JOB, DS, prepared)


# -- what may be shown -------------------------------------------------------------------------------


def test_an_item_that_is_denied_or_left_the_catalogue_reaches_no_list(settings, tmp_path):
    deny = tmp_path / "deny.txt"
    deny.write_text("b\nnever seen\n")
    prepared = settings(FALLBACK, gone="c", RECOMMEND__TOP="9", RECOMMEND__DENY_FILE=str(deny))
    outcome = execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["d"], "bob": ["d"], "new": ["a"]}
    assert any("1 of 2 items of" in note and "not in the catalogue" in note for note in outcome.notes)
    deny.write_text("")
    assert not execute(JOB, DS, prepared).nothing_to_do
    assert lists(prepared)["ann"] == ["b", "d"]


def test_a_source_without_a_catalogue_says_nothing_about_what_can_be_had(settings):
    prepared = settings(FALLBACK, gone="abcd")
    execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["b", "c"], "bob": ["c", "d"], "new": ["a", "b"]}


def test_where_users_take_things_again_seen_items_stay(settings):
    again = [candidate("ann", "a", 1, 0.9), *CANDIDATES[1:]]
    prepared = settings(FALLBACK, candidates=again, RECALL__REPEATS="true")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["a", "c"]


def test_the_last_place_goes_to_a_cold_item_that_was_proposed_as_one(settings):
    cold = [{"item_id": name, "item_cold": name in "cd"} for name in "abcd"]
    candidates = [*CANDIDATES[:2], candidate("ann", "c", 3, 0.4, cold_start_score=-0.2)]
    prepared = settings(
        FALLBACK, candidates, features=cold, RECOMMEND__EXPLORE_SHARE="0.5", RECOMMEND__EXPLORE_CAP="0.5"
    )
    execute(JOB, DS, prepared)
    of_ann = [(row["item_id"], row["explored"]) for row in rows(prepared) if row["user_id"] == "ann"]
    # d is cold too, and nothing speaks for it as a cold item
    assert of_ann == [("b", False), ("c", True)]


def test_cold_items_that_only_their_channel_proposed_have_no_more_than_their_share(settings):
    alone = {"cold_start_score": -0.2, "channels": ["cold_start"]}
    candidates = [candidate("ann", "c", 1, 0.9, **alone), candidate("ann", "d", 2, 0.8, **alone)]
    candidates += [candidate("ann", "b", 3, 0.1)]

    def shown(cap):
        share = {"RECOMMEND__EXPLORE_SHARE": "0.0", "RECOMMEND__EXPLORE_CAP": cap}
        prepared = settings(FALLBACK, candidates, **share)
        execute(JOB, DS, prepared)
        return lists(prepared)["ann"]

    assert shown("1.0") == ["c", "d"]
    assert shown("0.5") == ["c", "b"]


def test_a_dial_keeps_likenesses_apart(settings, publish):
    vectors = {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [1.0, 0.0], "d": [0.0, 1.0]}
    candidates = [candidate("ann", "b", 1, 0.9), candidate("ann", "c", 2, 0.8), candidate("ann", "d", 3, 0.7)]

    def shown(dial):
        prepared = settings(FALLBACK, candidates, RECOMMEND__DIVERSITY=dial)
        embedded = [
            {"item_id": item, "embedding": vector, "model_id": "m"} for item, vector in vectors.items()
        ]
        publish(prepared, "embed", DS, {"item_embeddings": embedded, "user_embeddings": []})
        execute(JOB, DS, prepared)
        return lists(prepared)["ann"]

    assert shown("0.0") == ["b", "c"]
    assert shown("0.6") == ["b", "d"]


# -- bad input ---------------------------------------------------------------------------------------


def test_one_user_one_item_one_event(settings):
    prepared = settings(trained(), [], items="a", events=[event("ann", "a", 1)])
    execute(JOB, DS, prepared)
    assert lists(prepared) == {}  # the only item was taken
    prepared = settings(trained(), [], items="a", events=[event("ann", "a", 1)], RECALL__REPEATS="true")
    execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["a"]}


def test_all_items_cold_and_every_feature_constant(settings):
    cold = [{"item_id": name, "item_cold": True} for name in "abcd"]
    candidates = [
        candidate(user, item, 1, 0.5, cold_start_score=-0.5) for user in ("ann", "bob") for item in "cd"
    ]
    prepared = settings(trained(), candidates, features=cold, RECOMMEND__EXPLORE_SHARE="1.0")
    execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["c", "d"], "bob": ["c", "d"], "new": ["a", "b"]}
    assert all(np.isfinite(row["score"]) for row in rows(prepared))


def test_a_candidate_that_comes_twice_is_shown_once(settings):
    twice = [*CANDIDATES, candidate("ann", "b", 7, 0.2), candidate("ann", "b", 8, 0.95)]
    for ranker in (FALLBACK, trained()):
        prepared = settings(ranker, candidates=twice, RECOMMEND__TOP="4")
        execute(JOB, DS, prepared)
        assert sorted(lists(prepared)["ann"]) == ["b", "c", "d"]


def test_nobody_is_active(settings):
    prepared = settings(trained(), [], events=[event("gone", "a", 60)])
    execute(JOB, DS, prepared)
    assert rows(prepared) == []


# -- a run that is cut short --------------------------------------------------------------------------


def _killed_in_its_second_block(settings):
    """Runs with blocks of one user and dies without a chance to clean up."""
    recommend._USERS = 1
    make, made = recommend.ListMaker.lists, []

    def lists(self, users):
        made.append(users)
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(self, users)

    recommend.ListMaker.lists = lists
    execute(JOB, DS, settings)


def test_a_run_that_was_killed_goes_on_behind_its_finished_blocks(settings, monkeypatch):
    expected = settings(FALLBACK)
    execute(JOB, DS, expected)
    whole = [row | {"run_id": "", "generated_at": None} for row in rows(expected)]
    prepared = settings(FALLBACK, ACTIVITY__DAYS="31")  # other settings: nothing is published for them
    victim = multiprocessing.get_context("spawn").Process(
        target=_killed_in_its_second_block, args=(prepared,)
    )
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    monkeypatch.setattr(recommend, "_USERS", 1)
    make, made = recommend.ListMaker.lists, []
    monkeypatch.setattr(
        recommend.ListMaker, "lists", lambda self, users: made.append(users.tolist()) or make(self, users)
    )
    outcome = execute(JOB, DS, prepared)
    assert len(made) == 2  # of three users
    assert "recommend: 1 blocks of users were finished by a run that was cut short" in outcome.notes
    assert [row | {"run_id": "", "generated_at": None} for row in rows(prepared)] == whole
    assert not list((prepared.data_root / "scratch").glob("recommend-*"))


@pytest.mark.parametrize("ranker", [FALLBACK, trained()], ids=["recall", "ranker"])
def test_the_size_of_a_block_changes_nothing(ranker, settings, monkeypatch):
    found = []
    for users in (1, 2, 1024):
        monkeypatch.setattr(recommend, "_USERS", users)
        prepared = settings(ranker, RECOMMEND__TOP="3")
        execute(JOB, DS, prepared, reprocess=True)
        found.append([row | {"run_id": "", "generated_at": None} for row in rows(prepared)])
    assert found[0] == found[1] == found[2]
