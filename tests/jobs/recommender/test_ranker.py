import numpy as np
import pyarrow as pa
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from jobs.recommender import control, margin, ranker
from jobs.recommender.groups import FEATURES, features_of
from jobs.recommender.queries import queries

RANKER = load_settings({}).ranker.model_copy(update={"min_groups": 10, "min_data_in_leaf": 5})


def with_column(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))


def fit(rows, settings=RANKER, features=FEATURES):
    return ranker.fit(queries(rows), features, settings)


def test_it_learns_the_feature_that_decides_and_stops_on_the_newest_window(training_rows):
    fitted = fit(training_rows(100))
    gains = dict(zip(fitted.features, fitted.importances, strict=True))
    assert max(gains, key=lambda name: gains[name]) == "llm_pair_embedding_similarity"
    assert 1 <= fitted.rounds <= RANKER.rounds
    assert fitted.rounds != ranker.BLIND_ROUNDS


def test_it_gives_the_same_model_for_the_same_rows_in_any_order(training_rows):
    rows = training_rows(60)
    shuffled = rows.take(np.random.default_rng(5).permutation(rows.num_rows))
    assert fit(rows) == fit(shuffled)


@pytest.mark.parametrize(("groups", "days"), [(15, 4), (60, 1)], ids=["few lists", "one window"])
def test_without_a_window_to_stop_on_it_boosts_a_fixed_number_of_rounds(training_rows, groups, days):
    assert fit(training_rows(groups, days)).rounds == ranker.BLIND_ROUNDS


def test_constant_features_give_equal_scores_and_no_error(training_rows):
    rows = with_column(training_rows(40), "llm_pair_embedding_similarity", [0.5] * 400)
    scorer = ranker.Scorer.of(fit(rows))
    assert len(set(scorer.score(rows).tolist())) == 1


def test_a_stored_ranker_scores_nulls_and_nothing(training_rows):
    rows = training_rows(40)
    scorer = ranker.Scorer.of(fit(rows))
    first = rows.slice(0, 10)
    best = first["llm_pair_embedding_similarity"].to_numpy().argmax()
    assert scorer.score(first).argmax() == best
    nulls = pa.table({name: pa.nulls(2, first[name].type) for name in FEATURES})
    assert np.isfinite(scorer.score(nulls)).all()
    assert scorer.score(first.slice(0, 0)).shape == (0,)


def test_every_direction_is_of_a_feature():
    assert set(ranker.DIRECTIONS) <= {*FEATURES, *control.COLUMNS}


def test_a_ranker_without_a_word_leaves_the_order_of_its_margin(training_rows):
    """Every feature is constant, so nothing is learnt and the channels' ranks speak alone."""
    flat = with_column(training_rows(40), "llm_pair_embedding_similarity", [0.5] * 400)
    fitted = fit(flat)
    five = flat.slice(0, 5)
    five = with_column(five, "als_rank", [3, 1, None, 2, None])
    five = with_column(five, "trending_rank", [None, None, 1, 2, None])
    learnt = ranker.Scorer.of(fitted).score(five) - margin.score(five, fitted.weights)
    assert learnt.tolist() == pytest.approx([0] * 5, abs=1e-9)


def test_more_similarity_never_lowers_a_score(training_rows):
    """Labels are noise here; whatever was learnt of the cosine may only point upwards."""
    rows = training_rows(40)
    rows = with_column(rows, "label", np.random.default_rng(4).integers(0, 2, rows.num_rows))
    scorer = ranker.Scorer.of(fit(rows))
    line = pa.concat_tables([rows.slice(0, 1)] * 50)
    line = with_column(line, "llm_pair_embedding_similarity", np.linspace(0, 1, 50))
    assert (np.diff(scorer.score(line)) >= 0).all()


def test_what_only_a_channel_of_another_group_proposed_is_neither_learnt_nor_placed(training_rows):
    rows = with_column(training_rows(40), "als_rank", ([1] * 5 + [None] * 5) * 40)
    rows = with_column(rows, "content_rank", ([None] * 5 + [1] * 5) * 40)
    without = features_of(["behaviour", "recall"])
    assert ranker.proposed(rows, without).sum() == 200
    assert ranker.proposed(rows, FEATURES).all()
    assert ranker.proposed(rows, ("item_age_days",)).all()
    scorer = ranker.Scorer.of(fit(rows, features=without))
    assert np.isneginf(scorer.ordering(rows)).sum() == 200


def test_where_nothing_can_be_learnt_the_margin_is_the_score(training_rows):
    rows = with_column(training_rows(3), "label", [0] * 30)
    fitted = fit(rows)
    assert (fitted.model_text, fitted.rounds) == ("", 0)
    assert (ranker.Scorer.of(fitted).score(rows) == margin.score(rows, fitted.weights)).all()


def test_a_stored_row_scores_as_the_ranker_did(training_rows):
    fitted = fit(training_rows(40))
    row = {
        "model_text": fitted.model_text,
        "features": list(fitted.features),
        "margin_channels": list(fitted.weights),
        "margin_weights": list(fitted.weights.values()),
    }
    rows = training_rows(3, seed=9)
    stored = ranker.Scorer.stored(row, "the ranker")
    assert (stored.score(rows) == ranker.Scorer.of(fitted).score(rows)).all()


def test_features_that_are_not_published_are_named(training_rows):
    fitted = fit(training_rows(15))
    scorer = ranker.Scorer(fitted.model_text, list(FEATURES), fitted.weights, "the ranker of 2026-01-01")
    published = [name for name in FEATURES if name != "item_recency_days"]
    with pytest.raises(NightmillError, match=r"the ranker of 2026-01-01 .*\(item_recency_days\)"):
        scorer.require(published)


def test_a_damaged_model_is_one_line():
    with pytest.raises(NightmillError, match="the ranker cannot be loaded"):
        ranker.Scorer("not a model", list(FEATURES), {}, "the ranker")
