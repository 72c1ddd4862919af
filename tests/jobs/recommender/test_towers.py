import numpy as np
import pytest
from scipy.sparse import csr_matrix

from feature_store.settings import load_settings
from jobs.recommender.item_words import ItemWords
from jobs.recommender.towers import Towers, batches

SETTINGS = load_settings({}).alignment.model_copy(update={"dimensions": 8, "users": 16})


def ones(rows):
    return csr_matrix(np.array(rows, dtype=np.float32))


@pytest.fixture
def families():
    """30 items of 3 families that their text tells, 60 users who take items of one family."""
    draw = np.random.default_rng(0)
    family, users = np.arange(30) % 3, np.arange(60) % 3
    taken = (family == users[:, None]) & (draw.random((60, 30)) < 0.6)
    text = np.eye(3, dtype=np.float32)[family]
    none = csr_matrix((30, 0), dtype=np.float32)
    return ItemWords(text, none, none, none), csr_matrix(taken.astype(np.float32)), family, users


def learners(taken):
    return np.flatnonzero(np.diff(taken.indptr) > 1).astype(np.int32)


def test_of_each_user_one_half_is_shown_and_the_other_is_to_be_found():
    taken = ones([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]])
    (batch,) = batches(taken, np.arange(2, dtype=np.int32), 8, np.random.default_rng(0))
    assert sorted(batch.has.sum(axis=1).A1) == [1, 2]
    assert sorted(batch.wanted.sum(axis=1).A1) == [2, 2]
    for row in range(2):
        shown = set(batch.shown[batch.has[row].indices])
        wanted = set(batch.candidates[batch.wanted[row].indices])
        barred = set(batch.candidates[batch.barred[row].indices])
        assert not shown & wanted
        assert barred == shown & set(batch.candidates)


def test_an_item_of_many_users_is_likelier_to_be_in_a_batch():
    taken = ones([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    for batch in batches(taken, np.arange(4, dtype=np.int32), 8, np.random.default_rng(0)):
        chance = dict(zip(batch.candidates.tolist(), batch.chance.tolist(), strict=True))
        # Of eight events one in two is on item 0: with four to be found it is missed once in 2^4.
        if 0 in chance:
            assert chance[0] == pytest.approx(1 - 0.5**batch.wanted.nnz)


def test_what_was_not_taken_is_found_by_its_words_alone(families):
    words, taken, family, users = families
    taken = taken.toarray()
    taken[:, 27:] = 0  # one item of each family nobody has touched
    taken = csr_matrix(taken)
    towers = Towers(words, SETTINGS)
    for epoch in range(30):
        towers.learn(taken, learners(taken), epoch)
    shown, wanted = towers.vectors(np.arange(30) < 27)
    scores = np.asarray(taken @ shown) @ wanted[27:].T
    asked = learners(taken)
    assert (scores.argmax(axis=1)[asked] == users[asked]).mean() > 0.95
    assert family[27:].tolist() == [0, 1, 2]


def test_learning_goes_on_from_a_state_as_if_it_had_never_stopped(families):
    words, taken, *_ = families
    whole = Towers(words, SETTINGS)
    for epoch in range(4):
        whole.learn(taken, learners(taken), epoch)
    first = Towers(words, SETTINGS)
    for epoch in range(2):
        first.learn(taken, learners(taken), epoch)
    second = Towers(words, SETTINGS)
    second.restore(first.state())
    for epoch in range(2, 4):
        second.learn(taken, learners(taken), epoch)
    every = np.ones(30, dtype=bool)
    for one, other in zip(whole.vectors(every), second.vectors(every), strict=True):
        assert np.array_equal(one, other)


def test_an_item_without_events_has_no_vector_of_its_own(families):
    words, *_ = families
    towers = Towers(words, SETTINGS)
    without, _ = towers.vectors(np.zeros(30, dtype=bool))
    assert np.array_equal(without[0], without[3])  # the same text
    with_own, _ = towers.vectors(np.ones(30, dtype=bool))
    assert not np.array_equal(with_own[0], with_own[3])


@pytest.mark.parametrize("width", [0, 2])
def test_items_without_words_or_text_break_nothing(width):
    none = csr_matrix((3, 0), dtype=np.float32)
    towers = Towers(ItemWords(np.zeros((3, width), np.float32), none, none, none), SETTINGS)
    taken = ones([[1, 1, 0], [1, 1, 1]])
    assert np.isfinite(towers.learn(taken, learners(taken), 0))
    shown, wanted = towers.vectors(np.ones(3, dtype=bool))
    assert np.isfinite(shown).all()
    assert not wanted.any()
