from datetime import date

import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store
from jobs import cli
from jobs.similar_items import neighbours, similar_items

DS = date(2026, 1, 31)
ITEMS = [
    {"item_id": name, "title": f"Title {name}", "attributes": "{}"} for name in ("a", "b", "c", "d", "e")
]
FACTORS = {"a": [1.0, 0.0], "b": [2.0, 0.0], "c": [0.0, 3.0]}
WANTED = {"a": [1.0, 0.0], "b": [0.6, 0.8]}
VECTORS = {"a": [0.6, 0.8], "b": [0.8, 0.6], "d": [0.6, 0.8]}


@pytest.fixture
def settings(make_settings, publish):
    made = make_settings()
    rows = {
        "item_factors": [{"item_id": item, "factors": vector} for item, vector in FACTORS.items()],
        "item_embeddings": [{"item_id": item, "embedding": vector} for item, vector in VECTORS.items()],
    }
    publish(made, "ingest", DS, {"items": ITEMS, "interactions": []})
    publish(made, "fit_recall", DS, {"item_factors": rows["item_factors"]})
    publish(made, "embed", DS, {"item_embeddings": rows["item_embeddings"]})
    aligned = [{"item_id": item, "shown": [0.0], "wanted": vector} for item, vector in WANTED.items()]
    publish(made, "align_embeddings", DS, {"aligned_items": aligned, "alignments": []})
    return made


def test_the_nearest_by_the_mean_of_what_is_known(settings):
    found = neighbours(Store(settings.data_root), DS, "a", 10)
    # b: 1 by factors, 0.96 by text, 0.6 by whom it is for; c has no text, d was never taken
    assert [(n.item_id, n.taken, n.text, n.wanted) for n in found] == [
        ("d", None, pytest.approx(1.0), None),
        ("b", pytest.approx(1.0), pytest.approx(0.96), pytest.approx(0.6)),
        ("c", pytest.approx(0.0), None, None),
    ]
    assert [n.score for n in found] == pytest.approx([1.0, 2.56 / 3, 0.0], abs=1e-6)


def test_the_command_prints_a_table(settings, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTMILL_DATA", str(settings.data_root))
    cli.run(["similar-items", "--ds", "2026-01-31", "--item", "a", "--top", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line[:1].isdigit() or "Title" in line] == [
        ["1", "d", "Title", "d", "1.000", "-", "1.000", "-"],
        ["2", "b", "Title", "b", "0.853", "1.000", "0.960", "0.600"],
    ]


def test_an_unknown_item_names_the_nearest_ids(settings):
    with pytest.raises(
        NightmillError, match=r"no item 'ab' in the catalogue of 2026-01-31; nearest ids: .*a"
    ):
        similar_items(Store(settings.data_root), DS, "ab", 3)


def test_an_item_without_any_vector_is_said_to_have_none(settings):
    with pytest.raises(NightmillError, match="e has neither factors nor a text vector on 2026-01-31"):
        similar_items(Store(settings.data_root), DS, "e", 3)


def test_a_night_that_is_not_published_says_what_to_run(settings):
    with pytest.raises(NightmillError, match=r"run `nightmill ingest --ds 2026-02-01` first"):
        similar_items(Store(settings.data_root), date(2026, 2, 1), "a", 3)
