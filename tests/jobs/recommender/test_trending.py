import numpy as np
import pytest

from jobs.recommender import trending

EVENTS = [
    ("ann", "old", 28.0, 1.0),
    ("bob", "old", 28.0, 1.0),
    ("cid", "old", 28.0, 1.0),
    ("bob", "new", 14.0, 9.0),
    ("bob", "b_tie", 14.0, 1.0),
]
CATALOGUE = ["a_cold", "b_tie", "new", "old"]  # codes 0 to 3


def test_an_event_halves_every_half_life_and_its_weight_does_not_count(history):
    found = trending.fit(history(EVENTS, CATALOGUE), 14)
    assert found.order.tolist() == [3, 1, 2]  # 3/4, then 1/2 twice in item order
    assert found.popularity.tolist() == [0.75, 0.5, 0.5]


def test_a_short_half_life_prefers_what_is_recent(history):
    assert trending.fit(history(EVENTS, CATALOGUE), 1).order.tolist() == [1, 2, 3]


def test_each_user_gets_the_first_items_not_seen(history):
    past = history(EVENTS, CATALOGUE)
    users = np.array([1, 0], dtype=np.int32)  # bob has seen all three, ann one
    found = trending.fit(past, 14).recommend(users, 2, past.seen(users))
    assert found.items.tolist() == [[-1, -1], [1, 2]]
    assert found.scores[1].tolist() == [0.5, 0.5]


def test_the_whole_catalogue_ends_with_what_nobody_took(history):
    past = history(EVENTS, CATALOGUE)
    users = np.array([1], dtype=np.int32)
    found = trending.fit(past, 14, whole_catalogue=True).recommend(users, 2, past.seen(users))
    assert found.items.tolist() == [[0, -1]]


def test_no_event_proposes_nothing(history):
    past = history([], CATALOGUE)
    found = trending.fit(past, 14).recommend(past.active(30), 5, past.seen(past.active(30)))
    assert found.items.shape == (0, 0)


def test_it_agrees_with_a_plain_loop_on_random_histories(history):
    generator = np.random.default_rng(1)
    events = [
        (
            f"u{generator.integers(300):03}",
            f"i{generator.integers(40):02}",
            float(generator.random() * 60),
            1.0,
        )
        for _ in range(3_000)
    ]
    past = history(events, sorted({item for _, item, _, _ in events}))
    users = past.active(60)
    found = trending.fit(past, 7).recommend(users, 10, past.seen(users))
    score = dict.fromkeys(past.item_ids.to_pylist(), 0.0)
    for _, item, age, _ in events:
        score[item] += 0.5 ** (age / 7)
    for row, user in enumerate(past.user_ids.to_pylist()):
        taken = {item for who, item, _, _ in events if who == user}
        best = sorted((item for item in score if item not in taken), key=lambda item: (-score[item], item))[
            :10
        ]
        ids = past.item_ids.to_pylist()
        assert [ids[code] for code in found.items[row] if code >= 0] == best
        assert found.scores[row, : len(best)].tolist() == pytest.approx([score[item] for item in best])
