import numpy as np
import pyarrow as pa
import pytest

from feature_store.settings import load_settings
from jobs.recommender import ranker_search
from jobs.recommender.groups import FEATURES
from jobs.recommender.queries import queries

# One leaf a tree: nothing can be learnt, so whatever is tried instead is better.
BLIND = {"min_groups": 10, "num_leaves": 2, "min_data_in_leaf": 10**6, "trials": 3, "rounds": 30}


@pytest.fixture(scope="module")
def settings():
    return load_settings({}).ranker.model_copy(update=BLIND)


def test_what_does_better_on_an_older_window_is_chosen(training_rows, settings):
    found = ranker_search.search(queries(training_rows(120)), FEATURES, settings)
    assert set(found) == {"num_leaves", "min_data_in_leaf", "feature_fraction", "lambda_l2"}
    assert found == ranker_search.search(queries(training_rows(120)), FEATURES, settings)


def test_the_newest_window_has_no_say(training_rows, settings):
    """Its labels are turned around: what is chosen stays the same."""
    rows = training_rows(120)
    newest = rows["window"].to_numpy() == rows["window"].to_numpy().max()
    labels = np.where(newest, 1 - rows["label"].to_numpy(), rows["label"].to_numpy())
    turned = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))
    chosen, same = (ranker_search.search(queries(r), FEATURES, settings) for r in (rows, turned))
    assert chosen == same


def test_where_nothing_is_clearly_better_the_settings_stay(training_rows, settings):
    rows = training_rows(120)
    place = rows.column_names.index("llm_pair_embedding_similarity")
    rows = rows.set_column(place, rows.column_names[place], pa.array([0.5] * rows.num_rows))
    assert ranker_search.search(queries(rows), FEATURES, settings) == {}


@pytest.mark.parametrize(("groups", "days", "trials"), [(120, 2, 3), (16, 4, 3), (120, 4, 0)])
def test_without_three_windows_of_lists_or_trials_nothing_is_searched(
    training_rows, settings, groups, days, trials
):
    few = settings.model_copy(update={"trials": trials})
    assert ranker_search.search(queries(training_rows(groups, days)), FEATURES, few) == {}
