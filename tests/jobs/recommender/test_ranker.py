from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from jobs.recommender import ranker

RANKER = load_settings({}).ranker.model_copy(update={"min_groups": 10, "min_data_in_leaf": 5})
START = datetime(2026, 1, 1, tzinfo=UTC)
FLAGS = {column.name for column in TABLES["training_set"].columns if column.type == pa.bool_()}


def training_rows(groups, days=20, rows=10, seed=0):
    """Each query has one positive, the item with the largest cosine; other features are constant or null."""
    generator = np.random.default_rng(seed)
    schema = TABLES["training_set"].schema
    names = ["user_id", "item_id", "query_time", "label", *ranker.FEATURES]
    found = []
    for group in range(groups):
        cosines = generator.random(rows)
        for place, cosine in enumerate(cosines):
            blank = {
                name: name in FLAGS if not schema.field(name).nullable else None for name in ranker.FEATURES
            }
            found.append(
                blank
                | {
                    "user_id": f"u{group}",
                    "item_id": f"i{place}",
                    "query_time": START + timedelta(days=group % days),
                    "label": int(cosine == cosines.max()),
                    "llm_pair_embedding_similarity": cosine,
                }
            )
    return pa.Table.from_pylist(found, pa.schema([schema.field(name) for name in names]))


def test_queries_are_sorted_and_those_with_one_kind_of_label_left_out():
    rows = training_rows(3, rows=2)
    labels = [1, 0, 0, 0, 1, 1]  # the second has no positive, the third no negative
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))
    found = ranker.queries(rows.take([5, 3, 1, 4, 2, 0]))
    assert found.labels.tolist() == [1, 0]
    assert found.sizes.tolist() == [2]
    assert found.days.tolist() == [(START - datetime(1970, 1, 1, tzinfo=UTC)).days]
    assert found.values.shape == (2, len(ranker.FEATURES))


def test_no_rows_are_no_queries():
    found = ranker.queries(training_rows(1).slice(0, 0))
    assert len(found.sizes) == len(found.labels) == 0


def test_it_learns_the_feature_that_decides_and_stops_on_the_newest_days():
    found = ranker.queries(training_rows(100))
    fitted = ranker.fit(found, RANKER)
    gains = dict(zip(ranker.FEATURES, fitted.importances, strict=True))
    assert max(gains, key=lambda name: gains[name]) == "llm_pair_embedding_similarity"
    assert fitted.valid_ndcg_at_10 is not None
    assert fitted.valid_ndcg_at_10 > 0.9
    assert 1 <= fitted.rounds <= RANKER.rounds


def test_it_gives_the_same_model_for_the_same_rows_in_any_order():
    rows = training_rows(60)
    shuffled = rows.take(np.random.default_rng(5).permutation(rows.num_rows))
    one, two = (ranker.fit(ranker.queries(part), RANKER) for part in (rows, shuffled))
    assert one == two


def test_few_queries_are_all_learnt_from_for_a_fixed_number_of_rounds():
    fitted = ranker.fit(ranker.queries(training_rows(15)), RANKER)
    assert fitted.rounds == ranker.BLIND_ROUNDS
    assert fitted.valid_ndcg_at_10 is None


def test_one_single_day_cannot_be_split():
    assert ranker.fit(ranker.queries(training_rows(60, days=1)), RANKER).valid_ndcg_at_10 is None


def test_constant_features_give_equal_scores_and_no_error():
    rows = training_rows(40)
    place = rows.column_names.index("llm_pair_embedding_similarity")
    rows = rows.set_column(place, rows.column_names[place], pa.array([0.5] * rows.num_rows))
    fitted = ranker.fit(ranker.queries(rows), RANKER)
    scorer = ranker.Scorer(fitted.model_text, list(ranker.FEATURES), "the ranker")
    assert len(set(scorer.score(rows).tolist())) == 1


def test_a_stored_ranker_scores_nulls_and_nothing():
    rows = training_rows(40)
    fitted = ranker.fit(ranker.queries(rows), RANKER)
    scorer = ranker.Scorer(fitted.model_text, list(ranker.FEATURES), "the ranker")
    first = rows.slice(0, 10)
    best = first["llm_pair_embedding_similarity"].to_numpy().argmax()
    assert scorer.score(first).argmax() == best
    assert set(ranker.DIRECTIONS) <= set(ranker.FEATURES)
    nulls = pa.table({name: pa.nulls(2, first[name].type) for name in ranker.FEATURES})
    assert np.isfinite(scorer.score(nulls)).all()
    assert scorer.score(first.slice(0, 0)).shape == (0,)


def test_a_ranker_without_a_word_leaves_the_order_of_recall():
    """Every feature is constant, so nothing is learnt and the channels' ranks speak alone."""
    rows = training_rows(40)
    for name, ranks in (("als_rank", [3, 1, None, 2, None]), ("trending_rank", [None, None, 1, 2, None])):
        values = pa.array(ranks * (rows.num_rows // 5), pa.int64())
        rows = rows.set_column(rows.column_names.index(name), name, values)
    margins = ranker.recall_margin(rows.slice(0, 5))
    assert margins.tolist() == pytest.approx([60 / 63, 60 / 61, 60 / 61, 120 / 62, 0])
    flat = training_rows(40)
    place = flat.column_names.index("llm_pair_embedding_similarity")
    flat = flat.set_column(place, flat.column_names[place], pa.array([0.5] * flat.num_rows))
    fitted = ranker.fit(ranker.queries(flat), RANKER)
    scorer = ranker.Scorer(fitted.model_text, list(ranker.FEATURES), "the ranker")
    assert (scorer.score(rows.slice(0, 5)) - margins).tolist() == pytest.approx([0] * 5, abs=1e-9)


def test_more_similarity_never_lowers_a_score():
    """Labels are noise here; whatever was learnt of the cosine may only point upwards."""
    rows = training_rows(40)
    labels = np.random.default_rng(4).integers(0, 2, rows.num_rows)
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))
    fitted = ranker.fit(ranker.queries(rows), RANKER)
    scorer = ranker.Scorer(fitted.model_text, list(ranker.FEATURES), "the ranker")
    place = rows.column_names.index("llm_pair_embedding_similarity")
    rising = pa.array(np.linspace(0, 1, 50))
    line = pa.concat_tables([rows.slice(0, 1)] * 50).set_column(place, rows.column_names[place], rising)
    assert (np.diff(scorer.score(line)) >= 0).all()


def test_features_that_are_not_published_are_named():
    fitted = ranker.fit(ranker.queries(training_rows(15)), RANKER)
    scorer = ranker.Scorer(fitted.model_text, list(ranker.FEATURES), "the ranker of 2026-01-01")
    published = [name for name in ranker.FEATURES if name != "item_recency_days"]
    with pytest.raises(NightmillError, match=r"the ranker of 2026-01-01 .*\(item_recency_days\)"):
        scorer.require(published)


def test_a_damaged_model_is_one_line():
    with pytest.raises(NightmillError, match="the ranker cannot be loaded"):
        ranker.Scorer("not a model", list(ranker.FEATURES), "the ranker")
