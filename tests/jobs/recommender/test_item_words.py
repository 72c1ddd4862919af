import numpy as np
import pyarrow as pa
import pytest

from jobs.recommender.item_words import item_words
from jobs.recommender.vectors import Vectors

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("attributes", pa.string()),
    ]
)
NO_PROFILES = pa.table({name: pa.array([], pa.string()) for name in ("item_id", "llm_tags", "llm_audience")})


def words(rows, profiles=NO_PROFILES):
    """The blocks of items given as (id, fields), in order of id, without text vectors."""
    usual = {"title": "", "description": None, "categories": [], "brand": None, "price": None}
    made = [usual | {"attributes": "{}", "item_id": name} | fields for name, fields in rows]
    vectors = Vectors(np.zeros((len(rows), 0), np.float32), np.zeros(len(rows), dtype=bool), "")
    ids = pa.array(sorted(name for name, _ in rows))
    return item_words(pa.Table.from_pylist(made, SCHEMA), profiles, vectors, ids)


def cosine(found, block, left=0, right=1):
    return float(found.cosines(block, np.array([left]), np.array([right]))[0, 0])


def test_titles_are_alike_by_the_words_they_share():
    found = words([("a", {"title": "red mug"}), ("b", {"title": "red mug"}), ("c", {"title": "blue lamp"})])
    assert cosine(found, "words") == pytest.approx(1)
    assert cosine(found, "words", 0, 2) == 0


def test_a_word_that_only_one_item_has_makes_it_less_like_others_and_costs_nothing():
    found = words([("a", {"title": "red mug"}), ("b", {"title": "red hat"}), ("c", {"title": "red pot"})])
    assert found.words.shape == (3, 1)
    assert 0 < cosine(found, "words") < 0.5


@pytest.mark.parametrize(
    "fields",
    [
        {"categories": ["toys"]},
        {"brand": "acme"},
        {"price": 3.5},
        {"attributes": '{"director": "Ann Lee, Bob Ray"}'},
        {"attributes": '{"year": "1999"}'},
    ],
)
def test_facts_make_items_alike(fields):
    found = words([("a", fields), ("b", fields), ("c", {"categories": ["x"], "price": 90.0})])
    assert cosine(found, "facts") == pytest.approx(1)
    assert cosine(found, "facts", 0, 2) == 0


def test_what_the_model_says_of_an_item_is_a_fact_about_it():
    profiles = pa.table(
        {"item_id": ["a", "b"], "llm_tags": [["funny"], ["funny"]], "llm_audience": ["x", "y"]}
    )
    found = words([("a", {}), ("b", {}), ("c", {})], profiles)
    assert 0 < cosine(found, "facts") < 1


def test_near_prices_are_more_alike_than_far_ones():
    rows = [(f"{n:03}", {"price": float(n)}) for n in range(100)]
    found = words(rows)
    assert cosine(found, "facts", 50, 51) > cosine(found, "facts", 50, 60) > cosine(found, "facts", 50, 99)


def test_item_numbers_next_to_each_other_are_alike_whatever_letters_follow():
    found = words([("22720", {}), ("22721A", {}), ("22745", {}), ("90001", {})])
    assert cosine(found, "code", 0, 1) == pytest.approx(1)
    assert cosine(found, "code", 0, 1) > cosine(found, "code", 0, 2) > cosine(found, "code", 0, 3) == 0


def test_ids_without_a_number_are_alike_by_how_they_begin():
    found = words([("ab-x1", {}), ("ab-x2", {}), ("zz-x1", {})])
    assert cosine(found, "code", 0, 1) > cosine(found, "code", 0, 2) == 0


def test_items_of_which_nothing_is_known_but_the_id_are_not_known():
    found = words([("1", {"title": "one two"}), ("2", {"title": "one two"}), ("3", {"title": "!"})])
    assert found.known.tolist() == [True, True, False]


@pytest.mark.parametrize("rows", [[], [("a", {})], [("a", {}), ("b", {"title": "the"})]])
def test_nothing_at_all_has_blocks_of_zeros(rows):
    found = words(rows)
    assert found.words.shape[0] == found.facts.shape[0] == found.code.shape[0] == len(rows)
    assert not found.known.any() or rows
