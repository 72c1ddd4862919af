from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from feature_store.contract import TIME
from feature_store.settings import load_settings
from feature_store.tables import BLENDED
from jobs.recommender import blending, content, metrics, tuning, windows
from jobs.recommender.channels import Tables
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend
from jobs.recommender.vectors import aligned

END = datetime(2026, 1, 1, tzinfo=UTC)
RECALL = load_settings({}).recall.model_copy(update={"factors": 4, "candidates": 12, "per_channel": 6})
TRENDING = next(space for space in tuning.SPACES if space.channel == "trending")
NAMES = [f"i{n:02}" for n in range(24)]


def tables():
    rows = {"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())}
    return Tables(
        pa.table({"item_id": NAMES, "categories": [["x"]] * len(NAMES)}),
        pa.table(
            {
                "item_id": pa.array([], pa.string()),
                "embedding": pa.array([], pa.list_(pa.float32())),
                "model_id": pa.array([], pa.string()),
            }
        ),
        pa.table(rows | {"confidence": pa.array([], pa.float64())}),
    )


def fashion(days=200, users=40):
    """Every four days another item is in fashion: users take it or the one before, rarely another."""
    generator = np.random.default_rng(5)
    rows = []
    for day in range(days, 0, -1):
        for user in generator.choice(users, 6, replace=False):
            item = (
                (day // 4 + generator.integers(2)) % 24
                if generator.random() < 0.8
                else generator.integers(24)
            )
            rows.append((f"u{user:02}", NAMES[item], END - timedelta(days=day, hours=-3)))
    users_, items, times = zip(*rows, strict=True)
    weights = pa.array(np.ones(len(rows)))
    return pa.table(
        {"user_id": users_, "item_id": items, "event_time": pa.array(times, TIME), "weight": weights}
    )


@pytest.fixture(scope="module")
def found():
    judging = windows.Judging(100, 10, 365, repeats=False, seed=1)
    past = fashion()
    return windows.find(past, pa.chunked_array([NAMES]), END, timedelta(days=5), judging)


def improved(space, windows_, settings):
    return tuning.Search(windows_, tables(), 4, 7).improved(space, settings)


def window_of(relevant, history):
    relevant = csr_matrix(np.array(relevant, dtype=np.float32))
    return windows.Window(END, END, history, np.arange(len(relevant.indptr) - 1), relevant, relevant * 0)


def test_quality_is_what_the_metrics_say(history):
    generator = np.random.default_rng(0)
    taken = generator.random((20, 30)) < 0.2
    taken[:, 0] = True
    items = np.argsort(generator.random((20, 30)), axis=1)[:, :12]
    items[3, 5:] = -1
    window = window_of(taken, history([], []))
    quality = tuning.quality(Proposals(items.astype(np.int32), np.zeros(items.shape)), window)
    lists = [[str(item) for item in row if item >= 0] for row in items]
    relevant = [{str(item) for item in np.flatnonzero(row)} for row in taken]
    np.testing.assert_allclose(quality.ndcg, metrics.ndcg_at_k(lists, relevant, 10))
    np.testing.assert_allclose(quality.recall, metrics.recall_at_k(lists, relevant, 12))


def test_gains_are_in_units_of_the_usual():
    usual = tuning.Quality(np.array([0.1, 0.3]), np.array([0.5, 0.5]))
    better = tuning.Quality(np.array([0.2, 0.4]), np.array([0.5, 0.5]))
    assert better.against(usual).tolist() == pytest.approx([0.25, 0.25])
    assert usual.against(usual).tolist() == [0, 0]


def test_a_gain_counts_when_it_is_more_than_its_standard_error():
    assert tuning.clearly_better(np.array([0.1, 0.2, 0.3]))
    assert not tuning.clearly_better(np.array([1.0, 0, 0]))  # one user of three
    assert not tuning.clearly_better(np.array([5.0]))
    assert not tuning.clearly_better(np.zeros(9))


def test_a_search_finds_that_fashions_pass_quickly(found):
    slow = RECALL.model_copy(update={"trending_half_life_days": 300.0})
    tuned, trials = improved(TRENDING, found, slow)
    assert trials == 4
    assert 0 < tuned.trending_half_life_days < 100
    assert tuned.model_copy(update={"trending_half_life_days": 300.0}) == slow


def test_a_search_that_finds_nothing_better_changes_nothing(found, monkeypatch):
    monkeypatch.setattr(tuning, "clearly_better", lambda _: False)
    assert improved(TRENDING, found, RECALL) == (RECALL, 4)


def test_a_channel_with_nothing_to_say_is_not_searched(found):
    content = next(space for space in tuning.SPACES if space.channel == "content")
    assert improved(content, found, RECALL) == (RECALL, 0)


def test_the_same_seed_gives_the_same_settings(found):
    twice = [improved(tuning.SPACES[0], found, RECALL) for _ in range(2)]
    assert twice[0] == twice[1]


def test_a_half_life_longer_than_the_history_is_none():
    class Longest:
        def suggest_float(self, name, low, high, log):
            return high

    assert tuning._half_life(Longest(), "half_life_days", 50) == 0


@pytest.mark.parametrize("space", tuning.SPACES, ids=lambda space: space.channel)
def test_whatever_is_tried_is_a_valid_setting(space):
    class At:
        def __init__(self, low):
            self.low = low

        def suggest_float(self, name, low, high, log):
            return low if self.low else high

        suggest_int = suggest_float

        def suggest_categorical(self, name, choices):
            return choices[0 if self.low else -1]

    for low in (True, False):
        for days in (1, 1e4):
            changed = space.suggest(At(low), days)
            type(RECALL).model_validate(RECALL.model_dump() | changed)
            assert set(changed) <= set(type(RECALL).model_fields)


def test_a_row_is_applied_over_the_settings():
    row = {"parameters": '{"factors": 9}', "quotas": '{"als": 5}', "weights": '{"als": 2.0}'}
    settings, blend = tuning.applied(row, RECALL)
    assert settings == RECALL.model_copy(update={"factors": 9})
    assert blend == Blend({"als": 5}, {"als": 2.0})


def test_the_merged_list_is_judged_as_fit_recall_would_write_it(found):
    trial = blending.propose(found, tables(), RECALL)
    quality = trial.quality(Blend.equal(RECALL.blended))
    assert len(quality.ndcg) == sum(len(window.users) for window in found)
    assert quality.recall.min() >= 0
    assert quality.recall.max() <= 1
    everything = RECALL.model_copy(update={"candidates": 24, "per_channel": 24})
    assert (blending.propose(found, tables(), everything).quality(Blend.equal(24)).recall == 1).all()


def test_what_is_learnt_is_no_worse_and_quotas_fill_the_list(found):
    trial = blending.propose(found, tables(), RECALL)
    blend, usual = blending.learn(trial), Blend.equal(RECALL.blended)
    assert list(blend.quotas) == list(blend.weights) == list(BLENDED)
    assert sum(blend.quotas.values()) in (12, sum(usual.quotas.values()))
    assert trial.quality(blend).ndcg.mean() >= trial.quality(usual).ndcg.mean()
    assert blend == blending.learn(trial)


def test_content_fitted_once_proposes_what_a_fit_of_its_own_does(found):
    generator = np.random.default_rng(2)
    rows = pa.table(
        {
            "item_id": NAMES,
            "embedding": pa.array(list(generator.normal(size=(24, 3))), pa.list_(pa.float32())),
            "model_id": ["m"] * 24,
        }
    )
    window = found[0]
    space = next(space for space in tuning.SPACES if space.channel == "content")
    fit = space.before(window, Tables(tables().items, rows, tables().synthetic_interactions))
    for last in (1, 7):
        own = content.fit(window.history, aligned(rows, "item_id", window.history.item_ids), last)
        once = fit(RECALL.model_copy(update={"content_history": last}))
        asked = window.users, 5, window.seen
        np.testing.assert_array_equal(own.recommend(*asked).items, once.recommend(*asked).items)
