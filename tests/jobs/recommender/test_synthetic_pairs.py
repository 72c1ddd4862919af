"""What was imagined, as lists of two: sorted by question, apart from what happened."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from feature_store.settings import load_settings
from feature_store.tables import CHANNEL_COLUMNS, TABLES
from jobs.recommender import ablation, ranker
from jobs.recommender.groups import FEATURES
from jobs.recommender.queries import queries
from jobs.recommender.synthetic_pairs import imagined

RANKER = load_settings({}).ranker.model_copy(update={"min_groups": 10, "min_data_in_leaf": 5})
FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)


def pairs(*told):
    """Rows of (user, preferred, other, window, weight, {item: cosine})."""
    schema, rows = TABLES["synthetic_pairs"].schema, []
    for user, item, other, window, weight, cosines in told:
        for one, two, label in ((item, other, 1), (other, item, 0)):
            moment = datetime(*window.timetuple()[:3], 12, tzinfo=UTC)
            rows.append(
                {"user_id": user, "item_id": one, "other_item_id": two, "query_time": moment}
                | {"window": window, "label": label, "weight": weight}
                | {"llm_pair_embedding_similarity": cosines.get(one)}
            )
    return pa.Table.from_pylist(rows, schema)


def test_the_two_rows_of_a_question_are_neighbours_whatever_their_order():
    told = [
        ("bob", "x", "y", FIRST, 0.1, {}),
        ("ann", "z", "x", FIRST, 0.2, {}),
        ("ann", "x", "y", FIRST, 0.3, {}),
    ]
    rows = pairs(*told)
    for order in (np.arange(6), np.random.default_rng(2).permutation(6)):
        found = imagined(rows.take(order))
        assert found.rows["user_id"].to_pylist() == ["ann"] * 4 + ["bob"] * 2
        assert found.rows["item_id"].to_pylist() == ["x", "y", "x", "z", "x", "y"]
        assert found.labels.tolist() == [1, 0, 0, 1, 1, 0]
        assert found.weights.tolist() == [0.3, 0.3, 0.2, 0.2, 0.1, 0.1]
        assert (len(found), found.sizes.tolist()) == (3, [2, 2, 2])


def test_no_channel_has_proposed_them():
    found = imagined(pairs(("ann", "x", "y", FIRST, 0.1, {})))
    assert not ranker.proposed(found.rows, FEATURES).any()
    assert {found.rows[column.name].null_count for column in CHANNEL_COLUMNS} == {2}


def test_what_came_later_than_a_window_is_left_out():
    found = imagined(pairs(("ann", "x", "y", FIRST, 0.1, {}), ("ann", "x", "y", SECOND, 0.1, {})))
    day = (FIRST - date(1970, 1, 1)).days
    assert [len(found.until(day + more)) for more in (-1, 0, 1)] == [0, 1, 2]


def test_a_placebo_has_the_same_questions_with_one_answer_each():
    found = imagined(pairs(*(("ann", "x", f"y{n}", FIRST, 0.1, {}) for n in range(40))))
    dealt = found.dealt(7)
    assert dealt.rows.drop_columns(["label"]).equals(found.rows.drop_columns(["label"]))
    assert set(dealt.labels.reshape(-1, 2).sum(axis=1)) == {1}
    assert dealt.labels.tolist() != found.labels.tolist()
    assert dealt.labels.tolist() == found.dealt(7).labels.tolist()


@pytest.fixture(scope="module")
def oracle():
    """Answers of somebody who knows that the larger cosine is taken."""
    draw = np.random.default_rng(5)
    told = []
    for n in range(300):
        low, high = sorted(draw.random(2))
        told.append((f"u{n:03}", "x", "y", FIRST, 1.0, {"x": high, "y": low}))
    return imagined(pairs(*told))


def noise(training_rows):
    """Lists of which nothing can be learnt: what was taken was drawn by a coin."""
    rows = training_rows(60)
    labels = np.zeros((60, 10), dtype=np.int64)
    labels[np.arange(60), np.random.default_rng(9).integers(0, 10, 60)] = 1
    return rows.set_column(rows.column_names.index("label"), "label", pa.array(labels.ravel()))


def test_a_ranker_learns_from_them_what_lists_do_not_say(training_rows, oracle):
    found = queries(noise(training_rows))
    one = found.rows.slice(0, 10)
    line = one.set_column(
        one.column_names.index("llm_pair_embedding_similarity"),
        "llm_pair_embedding_similarity",
        pa.array(np.linspace(0.05, 0.95, 10)),
    )

    def rise(told):
        fitted = ranker.fit(found, FEATURES, RANKER, 20, told)
        return np.ptp(ranker.Scorer.of(fitted).score(line))

    assert rise(oracle) > 2 * rise(None)


def test_none_of_them_changes_nothing_bit_for_bit(training_rows, oracle):
    found = queries(training_rows(60))
    assert ranker.fit(found, FEATURES, RANKER, None, oracle.until(0)) == ranker.fit(found, FEATURES, RANKER)


def test_they_do_not_touch_the_weights_of_the_channels(training_rows, oracle):
    found = queries(training_rows(60))
    assert (
        ranker.fit(found, FEATURES, RANKER, 5, oracle).weights
        == ranker.fit(found, FEATURES, RANKER, 5).weights
    )


def test_ablation_measures_them_against_none_and_against_a_coins_answers(training_rows, oracle, monkeypatch):
    rows = training_rows(60)
    for name, values in (("item_cold", [False] * 600), ("item_events_count_lifetime", [1] * 600)):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    found, steps = queries(rows), []
    monkeypatch.setattr(ablation, "varying", lambda _: [])
    measured = dict(ablation.measure(found, RANKER, lambda: steps.append(1), oracle))
    assert list(measured) == ["synthetic"]
    assert len(steps) == ablation.fits(found, oracle) == 3
    kinds = {(c.variant, c.compared_to) for c in measured["synthetic"]}
    assert kinds == {("group", "without"), ("placebo", "without"), ("group", "placebo")}
    assert dict(ablation.measure(found, RANKER, lambda: None, oracle.until(0))) == {}
