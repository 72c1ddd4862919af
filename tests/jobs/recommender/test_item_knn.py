from fractions import Fraction

import numpy as np
import pytest

from feature_store.settings import load_settings
from jobs.recommender import item_knn, proposals

PLAIN = {"knn_shrinkage": 0.0, "knn_half_life_days": 0.0, "knn_neighbours": 100}
RECALL = load_settings({}).recall.model_copy(update=PLAIN)
JACCARD = RECALL.model_copy(update={"knn_similarity": "jaccard"})
# a is taken by ann, bob and cid, b by ann and bob, c by cid and dan, d by nobody.
EVENTS = [
    (user, item, 1.0, 1.0)
    for user, items in {"ann": "ab", "bob": "ab", "cid": "ac", "dan": "c"}.items()
    for item in items
]
CATALOGUE = ["a", "b", "c", "d"]


def propose(past, settings, user, n=4):
    code = np.array([past.user_ids.index(user).as_py()], dtype=np.int32)
    return item_knn.fit(past, settings).recommend(code, n, past.seen(code))


def test_cosine_and_jaccard_of_the_users_two_items_share(history):
    past = history(EVENTS, CATALOGUE)
    cosine = item_knn.fit(past, RECALL).neighbours.toarray()
    jaccard = item_knn.fit(past, JACCARD).neighbours.toarray()
    assert cosine[0].tolist() == pytest.approx([0, 2 / 6**0.5, 1 / 6**0.5, 0])
    assert jaccard[0].tolist() == pytest.approx([0, 2 / 3, 1 / 4, 0])
    np.testing.assert_array_equal(jaccard, jaccard.T)


def test_shrinkage_takes_half_where_so_many_users_are_shared(history):
    settings = JACCARD.model_copy(update={"knn_shrinkage": 2.0})
    found = item_knn.fit(history(EVENTS, CATALOGUE), settings).neighbours.toarray()
    assert found[0].tolist() == pytest.approx([0, 2 / 3 * 2 / 4, 1 / 4 * 1 / 3, 0])


def test_only_the_nearest_items_are_kept_ties_by_item(history):
    settings = JACCARD.model_copy(update={"knn_neighbours": 1})
    past = history([*EVENTS, ("eve", "d", 1.0, 1.0), ("eve", "b", 1.0, 1.0)], CATALOGUE)
    neighbours = item_knn.fit(past, settings).neighbours
    assert np.diff(neighbours.indptr).tolist() == [1, 1, 1, 1]
    assert neighbours.indices.tolist() == [1, 0, 0, 1]


def test_a_score_is_the_sum_over_what_the_user_took_and_seen_items_stay_out(history):
    past = history([*EVENTS, ("dan", "b", 1.0, 1.0)], CATALOGUE)
    # dan has b and c; a shares 2 of 4 users with b (ann, bob of ann, bob, cid, dan) and 1 of 4 with c
    found = propose(past, JACCARD, "dan")
    assert found.items.tolist() == [[0, -1, -1, -1]]
    assert found.scores[0, 0] == pytest.approx(2 / 4 + 1 / 4)


def test_neighbours_may_be_looked_for_on_behalf_of_some_users_only(history):
    past = history(EVENTS, CATALOGUE)
    dan = np.array([past.user_ids.index("dan").as_py()], dtype=np.int32)
    some, everything = item_knn.fit(past, JACCARD, dan), item_knn.fit(past, JACCARD)
    assert np.diff(some.neighbours.indptr).tolist() == [0, 0, 1, 0]
    asked = dan, 4, past.seen(dan)
    assert (
        some.recommend(*asked).items.tolist()
        == everything.recommend(*asked).items.tolist()
        == [[0, -1, -1, -1]]
    )


def test_what_the_user_took_long_ago_counts_less(history):
    events = [("eve", "b", 0.0, 1.0), ("eve", "c", 10.0, 1.0), *EVENTS]
    past = history(events, CATALOGUE)
    fading = JACCARD.model_copy(update={"knn_half_life_days": 10.0})
    found = propose(past, fading, "eve")
    similarity = item_knn.fit(past, JACCARD).neighbours.toarray()
    assert found.scores[0, 0] == pytest.approx(similarity[1, 0] + np.log2(1.5) * similarity[2, 0])


def test_a_return_is_no_reason_for_a_neighbour(history):
    past = history([("ann", "a", 1.0, 1.0), ("ann", "b", 1.0, -1.0), ("bob", "a", 1.0, 1.0)], ["a", "b"])
    assert not item_knn.fit(past, RECALL).neighbours.nnz


def test_of_a_very_long_list_the_newest_items_count(history, monkeypatch):
    monkeypatch.setattr(item_knn, "_LONGEST", 2)
    past = history([("ann", "a", 3.0, 1.0), ("ann", "b", 2.0, 1.0), ("ann", "c", 1.0, 1.0)], CATALOGUE)
    assert item_knn.fit(past, JACCARD).neighbours.toarray()[1:3, 1:3].tolist() == [[0, 1], [1, 0]]
    assert not item_knn.fit(past, JACCARD).neighbours[0].nnz


@pytest.mark.parametrize("events", [[], [("ann", "a", 1.0, 1.0)], [("ann", "a", 1.0, 1.0)] * 3])
def test_without_a_pair_of_items_nothing_is_proposed(history, events):
    past = history(events, ["a"])
    users = past.active(30)
    found = item_knn.fit(past, RECALL).recommend(users, 5, past.seen(users))
    assert (found.items == -1).all()


@pytest.mark.parametrize("entries", [16_000_000, 7])
def test_it_agrees_with_fractions_on_random_histories_in_blocks_of_any_size(history, monkeypatch, entries):
    for module in (item_knn, proposals):
        monkeypatch.setattr(module, "ENTRIES", entries)
    generator = np.random.default_rng(3)
    names = [f"i{n}" for n in range(9)]
    pairs = {(f"u{generator.integers(12):02}", names[generator.integers(9)]) for _ in range(50)}
    past = history([(user, item, 1.0, 1.0) for user, item in sorted(pairs)], names)
    takers = [{user for user, item in pairs if item == name} for name in names]
    users = past.active(30)
    found = item_knn.fit(past, JACCARD).recommend(users, 4, past.seen(users))
    for row, user in enumerate(past.user_ids.to_pylist()):
        mine = [names.index(item) for who, item in pairs if who == user]
        score = {
            other: sum(
                Fraction(len(takers[other] & takers[one]), len(takers[other] | takers[one])) for one in mine
            )
            for other in range(9)
            if other not in mine
        }
        best = sorted((o for o in score if score[o]), key=lambda o: (-score[o], o))[:4]
        assert found.items[row].tolist() == best + [-1] * (4 - len(best))


def test_who_was_last_here_long_ago_still_has_a_taste(history):
    past = history([*EVENTS, ("eve", "b", 3000.0, 1.0), ("eve", "c", 5000.0, 1.0)], CATALOGUE)
    fading = JACCARD.model_copy(update={"knn_half_life_days": 3.0})
    assert propose(past, fading, "eve").items[0, 0] == 0
    strengths = past.strengths(3.0)[past.user_ids.index("eve").as_py()]
    assert strengths.data.tolist() == pytest.approx([np.log2(1.001)] * 2)
