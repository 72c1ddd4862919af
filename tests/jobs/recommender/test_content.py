import numpy as np
import pytest

from jobs.recommender import content
from jobs.recommender.vectors import Vectors

CATALOGUE = ["a", "b", "c", "d", "e"]


def vectors(*rows):
    matrix = np.array(rows, dtype=np.float32)
    return Vectors(matrix, np.linalg.norm(matrix, axis=1) > 0, "m")


# cosines: a-b 0.6, a-c 0.8, b-c 0.96, and d has no vector
PLANE = vectors([1, 0], [0.6, 0.8], [0.8, 0.6], [0, 0], [0, 1])


def propose(past, items, n, last=20):
    users = past.active(30)
    return content.fit(past, items, last).recommend(users, n, past.seen(users))


def test_items_near_to_what_was_taken_come_first_and_seen_ones_never(history):
    past = history([("ann", "a", 1.0, 1.0)], CATALOGUE)
    found = propose(past, PLANE, 4)
    assert found.items.tolist() == [[2, 1, 4, -1]]  # d has no vector
    assert found.scores[0, :3].tolist() == pytest.approx([0.8 / 3, 0.6 / 3, 0], abs=1e-6)


def test_the_three_largest_similarities_count(history):
    """The candidate has cosines 1, 1, 0.8 and 0 to the four items taken."""
    items = vectors([1, 0], [1, 0], [0.8, 0.6], [0, 1], [1, 0])
    past = history([("ann", item, 1.0, 1.0) for item in "abcd"], CATALOGUE)
    found = propose(past, items, 1)
    assert found.items.tolist() == [[4]]
    assert found.scores.tolist() == [[pytest.approx(2.8 / 3, abs=1e-6)]]


def test_only_the_last_items_speak_and_an_item_taken_often_speaks_once(history):
    events = [("ann", "a", 9.0, 1.0), ("ann", "e", 1.0, 1.0), ("ann", "e", 2.0, 1.0)]
    found = propose(history(events, CATALOGUE), PLANE, 2, last=1)
    assert found.items.tolist() == [[1, 2]]
    assert found.scores.tolist() == [[pytest.approx(0.8 / 3, abs=1e-6), pytest.approx(0.6 / 3, abs=1e-6)]]


def test_a_user_of_items_without_vectors_gets_none(history):
    found = propose(history([("ann", "d", 1.0, 1.0)], CATALOGUE), PLANE, 2)
    assert found.items.tolist() == [[-1, -1]]


def test_a_catalogue_without_any_vector_or_with_one(history):
    past = history([("ann", "a", 1.0, 1.0)], ["a", "b"])
    assert (
        propose(past, Vectors(np.zeros((2, 0), dtype=np.float32), np.zeros(2, dtype=bool), ""), 2).items == -1
    ).all()
    assert (propose(past, vectors([1, 0], [0, 0]), 2).items == -1).all()


def test_identical_texts_are_proposed_in_item_order(history):
    past = history([("ann", "c", 1.0, 1.0)], CATALOGUE)
    found = propose(past, vectors(*[[1, 0]] * 5), 3)
    assert found.items.tolist() == [[0, 1, 3]]


def test_it_agrees_with_a_plain_loop_on_random_histories(history):
    generator = np.random.default_rng(2)
    names = [f"i{n:02}" for n in range(30)]
    matrix = generator.normal(size=(30, 4)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    events = [(f"u{n % 7}", names[generator.integers(30)], float(n + 1) / 9, 1.0) for n in range(60)]
    past = history(events, names)
    found = propose(past, Vectors(matrix, np.ones(30, dtype=bool), "m"), 5, last=4)
    cosines = matrix @ matrix.T
    for row in range(7):
        taken = list(dict.fromkeys(names.index(i) for who, i, age, _ in events if who == f"u{row}"))
        score = {c: np.sort(cosines[c, taken[:4]])[-3:].sum() / 3 for c in range(30) if c not in taken}
        best = sorted(score, key=lambda code: (-score[code], code))[:5]
        assert found.items[row].tolist() == best
        np.testing.assert_allclose(found.scores[row], [score[code] for code in best], atol=1e-6)
