import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from feature_store.settings import load_settings
from jobs.recommender import alignment
from jobs.recommender.alignment import Run, align, recall, users_of
from jobs.recommender.checkpoint import Checkpoint
from jobs.recommender.item_words import ItemWords
from jobs.recommender.mixture import Mixture

SETTINGS = load_settings({}).alignment.model_copy(
    update={"dimensions": 8, "users": 32, "passes": 6, "patience": 3}
)
ITEMS = [f"i{n:03}" for n in range(150)]


@pytest.fixture
def shop(history):
    """150 items of 5 families that their text tells, 80 users who take items of one family."""
    draw = np.random.default_rng(0)
    family = np.arange(150) % 5
    events = [
        (f"u{user:02}", ITEMS[item], 1.0 + n, 1.0)
        for user in range(80)
        for n, item in enumerate(draw.choice(np.flatnonzero(family == user % 5), 8, replace=False))
    ]
    text = np.eye(5, dtype=np.float32)[family]
    none = csr_matrix((150, 0), dtype=np.float32)
    return history(events, ITEMS), ItemWords(text, none, none, none)


@pytest.fixture
def run(tmp_path):
    return Run(Checkpoint(tmp_path / "c", seconds=0), lambda said: None)


def test_recall_is_the_share_of_what_was_taken_among_the_first():
    took = csr_matrix(np.array([[1, 1, 0], [0, 0, 1]], dtype=np.float32))
    assert recall(np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), took, 2) == pytest.approx((0.5 + 0) / 2)


def test_a_user_is_the_sum_of_what_they_took_over_the_root_of_how_much():
    has = csr_matrix(np.array([[1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.float32))
    assert users_of(has, np.full((4, 2), 3.0, dtype=np.float32)).tolist() == [[6.0, 6.0], [0.0, 0.0]]


def test_held_out_items_are_found_by_what_is_known_of_them(shop, run):
    found = align(*shop, SETTINGS, run)
    assert (found.held_items, found.held_users) == (29, len(alignment._askable(shop[0].liked, _held(shop))))
    assert found.recalls["both"] == pytest.approx(1)  # six or so of a family, and twenty places
    assert found.mixture.weights.keys() == {"text"}
    assert 1 <= found.passes <= 6


def _held(shop):
    history, words = shop
    return alignment._held_out(history.liked, words, SETTINGS)


def test_the_same_whether_it_was_cut_short_or_not(shop, tmp_path):
    class CutShort(Exception):
        pass

    whole = align(*shop, SETTINGS, Run(Checkpoint(tmp_path / "whole", seconds=0), lambda said: None))
    for passes in (2, 5):
        said = []

        def stop(text, said=said, passes=passes):
            said.append(text)
            if len(said) == passes:
                raise CutShort

        with pytest.raises(CutShort):
            align(*shop, SETTINGS, Run(Checkpoint(tmp_path / "part", seconds=0), stop))
    checkpoint = Checkpoint(tmp_path / "part", seconds=0)
    found = align(*shop, SETTINGS, Run(checkpoint, lambda said: None))
    assert checkpoint.resumed >= 2
    assert np.array_equal(found.wanted, whole.wanted)
    assert np.array_equal(found.shown, whole.shown)
    assert (found.mixture, found.recalls, found.passes) == (whole.mixture, whole.recalls, whole.passes)


def test_a_checkpoint_that_cannot_be_read_is_no_checkpoint(shop, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "search.safetensors").write_bytes(b"half")
    checkpoint = Checkpoint(tmp_path / "c", seconds=0)
    align(*shop, SETTINGS, Run(checkpoint, lambda said: None))
    assert checkpoint.resumed == 0


def test_with_too_few_items_or_users_nothing_is_held_out(history, run):
    none = csr_matrix((3, 0), dtype=np.float32)
    words = ItemWords(np.eye(3, dtype=np.float32), none, none, none)
    few = history([("ann", "a", 1, 1), ("ann", "b", 2, 1), ("bob", "a", 1, 1)], ["a", "b", "c"])
    found = align(few, words, SETTINGS, run)
    assert (found.held_items, found.recalls, found.mixture) == (0, {}, Mixture.default())
    assert np.isfinite(found.wanted).all()


@pytest.mark.parametrize("events", [[], [("ann", "a", 1.0, 1.0)]])
def test_a_catalogue_that_is_all_cold_breaks_nothing(history, run, events):
    none = csr_matrix((2, 0), dtype=np.float32)
    found = align(
        history(events, ["a", "b"]), ItemWords(np.eye(2, dtype=np.float32), none, none, none), SETTINGS, run
    )
    assert found.wanted.shape == (2, 8)
    assert np.isfinite(found.wanted).all()


def test_the_more_an_items_takers_tell_the_fewer_are_needed(shop, run):
    """Families are told by text as well as by takers: one taker is as good."""
    assert align(*shop, SETTINGS, run).equal_events == 1
    assert isinstance(shop[0].item_ids, pa.Array)
