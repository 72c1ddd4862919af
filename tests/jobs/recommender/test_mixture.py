import numpy as np
import pytest
from scipy.sparse import csr_matrix

from jobs.recommender.item_words import ItemWords
from jobs.recommender.mixture import FLOOR, HeldOut, Mixture, learn, nearby


def blocks(text, words=None):
    """Blocks of items of which only text (and words) say anything."""
    text = np.array(text, dtype=np.float32)
    none = csr_matrix((len(text), 0), dtype=np.float32)
    said = none if words is None else csr_matrix(np.array(words, dtype=np.float32))
    return ItemWords(text, said, none, none)


def codes(*items):
    return np.array(items, dtype=np.int32)


def test_nearness_is_e_to_the_weighted_cosines_less_their_weights():
    found = blocks([[1, 0], [0.6, 0.8]], [[1, 0], [1, 0]])
    mixture = Mixture(1, 1, {"text": 2.0, "words": 3.0})
    near = mixture.nearness(found, codes(0), codes(0, 1))
    assert near[0, 0] == pytest.approx(1)
    assert near[0, 1] == pytest.approx(np.exp(2 * 0.6 + 3 * 1 - 5))


def test_a_user_is_near_by_the_sum_over_what_they_took():
    has = csr_matrix(np.array([[1, 1], [0, 0]], dtype=np.float32))
    found = nearby(has, np.array([[0.5], [0.25]]))
    assert found[0, 0] == pytest.approx(np.log(0.75 + FLOOR))
    assert found[1, 0] == pytest.approx(np.log(FLOOR))


@pytest.fixture
def families():
    """60 held-out items of 6 families, and 40 users who took one history item of a family and items of it."""
    draw = np.random.default_rng(0)
    family = np.arange(66) % 6
    true = np.eye(6, dtype=np.float32)[family]
    noise = draw.normal(size=(66, 6)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    users = np.arange(40) % 6
    has = csr_matrix(np.eye(6, dtype=np.float32)[users])
    took = (family[6:] == users[:, None]) & (draw.random((40, 60)) < 0.5)
    took[np.arange(40), np.argmax(family[6:] == users[:, None], axis=1)] = True

    def held(far):
        return HeldOut(np.arange(6, 66), np.arange(6), has, csr_matrix(took.astype(np.float32)), far)

    return true, noise, held, family, users


def test_the_block_that_says_something_counts_and_the_other_does_not(families):
    true, noise, held, *_ = families
    found = learn(blocks(true, noise), held(np.zeros((40, 60), np.float32)))
    assert found.weights["text"] > 5 * found.weights["words"]
    turned = learn(blocks(noise, true), held(np.zeros((40, 60), np.float32)))
    assert turned.weights["words"] > 5 * turned.weights["text"]


def test_towers_that_know_count_more_than_towers_that_do_not(families):
    _, noise, held, family, users = families
    knows = (family[6:] == users[:, None]).astype(np.float32)
    guesses = np.random.default_rng(1).normal(size=(40, 60)).astype(np.float32)
    useful, useless = learn(blocks(noise), held(knows)), learn(blocks(noise), held(guesses))
    assert useful.far * knows.std() > 3 * useless.far * guesses.std()


def test_where_nothing_is_known_the_default_stays(families):
    _, _, held, *_ = families
    nothing = blocks(np.zeros((66, 2)))
    assert learn(nothing, held(np.zeros((40, 60), np.float32))) == Mixture.default()
