import numpy as np
import pyarrow as pa
import pytest

from feature_store.settings import load_settings
from jobs.recommender import ablation
from jobs.recommender.control import COLUMNS
from jobs.recommender.groups import FEATURES, features_of
from jobs.recommender.queries import queries
from jobs.recommender.worth import verdict

RANKER = load_settings({}).ranker.model_copy(update={"min_groups": 10, "min_data_in_leaf": 5})


@pytest.fixture(scope="module")
def found(training_rows):
    """Lists in which the cosine of the embeddings decides, and nothing else varies but a price."""
    rows = training_rows(120)
    draw = np.random.default_rng(3)
    rows = with_column(rows, "item_price", draw.random(rows.num_rows))
    rows = with_column(rows, "item_cold", draw.random(rows.num_rows) < 0.3)
    rows = with_column(rows, "item_events_count_lifetime", draw.integers(0, 100, rows.num_rows))
    for name in COLUMNS:
        rows = rows.append_column(name, pa.array(draw.random(rows.num_rows)))
    return queries(rows)


def with_column(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))


@pytest.fixture(scope="module")
def measured(found):
    steps = []
    rows = dict(ablation.measure(found, RANKER, lambda: steps.append(1)))
    assert len(steps) == ablation.fits(found)
    return rows


def by_kind(comparisons):
    return {(c.variant, c.compared_to, c.slice): c for c in comparisons}


def test_the_group_that_decides_is_worth_its_lift_and_its_placebo_nothing(measured):
    found = by_kind(measured["embeddings"])
    alone, placebo = found["group", "without", "all"], found["placebo", "without", "all"]
    assert alone.lift.low > 0.2
    assert alone.value > 0.8
    assert alone.lift.mean == pytest.approx(alone.value - alone.other)
    assert placebo.lift.low < 0 < placebo.lift.high
    assert found["group", "control", "all"].lift.low > 0.2
    assert verdict(measured["embeddings"], 0.001).verdict == "keep"


def test_a_group_of_noise_is_not_kept(measured):
    assert verdict(measured["behaviour"], 0.001).verdict != "keep"


def test_groups_without_a_column_that_varies_are_not_measured(found, measured):
    assert list(measured) == ablation.varying(found) == ["behaviour", "embeddings"]


def test_slices_are_measured_over_the_users_that_have_something_in_them(measured):
    found = by_kind(measured["embeddings"])
    everybody = found["group", "without", "all"].users
    assert everybody == 30  # a quarter of the lists is of the newest of four windows
    for name in ("cold", "tail"):
        assert 0 < found["group", "without", name].users < everybody


def test_a_placebo_deals_the_columns_of_a_group_out_within_each_window(found):
    dealt = ablation.shuffled(found, "embeddings", seed=1)
    name = "llm_pair_embedding_similarity"
    before, after = found.rows[name].to_numpy(), dealt.rows[name].to_numpy()
    window = np.repeat(found.windows, found.sizes)
    assert (before != after).mean() > 0.9
    for one in found.distinct_windows:
        assert sorted(before[window == one]) == sorted(after[window == one])
    assert dealt.rows["item_price"].equals(found.rows["item_price"])
    assert dealt.rows[name].equals(ablation.shuffled(found, "embeddings", seed=1).rows[name])


def test_the_tail_is_what_is_left_when_the_head_has_its_share(found):
    rows = with_column(found.rows, "item_events_count_lifetime", [n % 10 for n in range(1200)])
    rows = with_column(rows, "item_id", [f"i{n % 10}" for n in range(1200)])
    tail = ablation._slices(found.with_rows(rows).where(found.newest))["tail"]
    items = np.unique(rows.filter(pa.array(np.repeat(found.newest, found.sizes)))["item_id"].to_numpy()[tail])
    # of 45 events i9, i8, i7, i6 and i5 have 35, and with i4 39: more than 36
    assert items.tolist() == ["i0", "i1", "i2", "i3"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("older", "1 label windows"), ("few", "the newest window have 5 lists"), ("all", "")],
)
def test_it_says_what_is_lacking(found, wanted, said):
    part = {
        "older": found.windows == found.windows.min(),
        "few": ~found.newest | (np.cumsum(found.newest) <= 5),
        "all": np.ones(len(found.sizes), dtype=bool),
    }[wanted]
    lacking = ablation.enough(found.where(part), RANKER)
    assert said in lacking
    assert bool(said) == bool(lacking)


def test_columns_of_all_groups_are_the_features():
    assert set().union(*(ablation.columns_of(group) for group in ablation.GROUPS)) == set(FEATURES)
    assert ablation.columns_of("recall") == features_of(["recall"])
