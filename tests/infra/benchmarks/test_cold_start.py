"""bench cold-start over a small made shop of two tastes: nothing hidden is told, and taste is found."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.settings import load_settings
from infra.benchmarks import cold_start, cold_start_references, cold_start_trial
from infra.benchmarks.cold_start import Asked, judged, measure, prepare, trials
from infra.benchmarks.cold_start_judge import asked_half
from infra.benchmarks.cold_start_split import Trial
from infra.benchmarks.quality_sets import choose
from jobs import embed
from jobs.assets import ResolvedModel
from jobs.llm import embedder
from jobs.sources import tables
from tests.infra.benchmarks.test_quality import shop


class ByKind:
    """Cups point one way, hammers another; their numbers turn them a little."""

    texts = 0  # embedded so far

    def __init__(self, model, settings):
        """No model."""

    def embed(self, texts):
        type(self).texts += len(texts)
        angles = [90 * ("Hammer" in text) + float(text.split()[2].rstrip(".")) / 10 for text in texts]
        yield (
            list(range(len(texts))),
            np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1).astype(np.float32),
        )


@pytest.fixture
def one(tmp_path):
    """A set: 60 users and 30 items, even ones are cups and odd ones hammers, as the users' tastes are."""
    (tmp_path / "sources").mkdir()
    (found,) = choose(shop(tmp_path / "shop", items=30), "", tmp_path / "sources")
    return found


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Trials run in this process, with vectors by hand."""
    monkeypatch.setenv("NIGHTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NIGHTMILL_ALIGNMENT__PASSES", "3")
    monkeypatch.setattr(embedder, "open_embedder", ByKind)
    monkeypatch.setattr(ByKind, "texts", 0)
    monkeypatch.setattr(embed, "resolve_model", lambda *_: ResolvedModel("mini", "mini", "1"))

    def side(module, task, environ, folder, root, judge):
        with pytest.MonkeyPatch.context() as patched:
            for name, value in environ.items():
                patched.setenv(name, value)
            return cold_start_trial.run(Path(folder), Path(root), judge)

    monkeypatch.setattr(cold_start, "side", side)


@pytest.fixture
def raw(one):
    return tables.read(load_settings(one.environ))


def rows_of(path):
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("judge", ["none", "oracle", "model"])
def test_nothing_hidden_is_told_but_to_the_oracle_of_those_it_may_be_asked_about(raw, tmp_path, judge):
    (trial,) = trials(raw, 1)
    prepare(tmp_path, trial, raw, judge)
    held = set(trial.held)
    known = rows_of(tmp_path / "known.parquet")
    assert len(held) == 6
    assert not {row["item_id"] for row in known} & held
    assert [row["item_id"] for row in rows_of(tmp_path / "held.parquet")] == trial.held
    assert [row["user_id"] for row in rows_of(tmp_path / "users.parquet")] == list(trial.relevant)
    # items are known as the catalogue has them: title and category
    assert {row["item_id"] for row in rows_of(tmp_path / "items.parquet")} >= held
    files = {path.name for path in tmp_path.glob("*.parquet")} - {"taken.parquet"}
    assert files == {"known.parquet", "items.parquet", "held.parquet", "users.parquet"}
    if judge != "oracle":
        assert not (tmp_path / "taken.parquet").exists()
        return
    half = asked_half({row["user_id"] for row in known})
    told = rows_of(tmp_path / "taken.parquet")
    assert {row["user_id"] for row in told} <= half
    assert {row["item_id"] for row in told} == held
    assert len(half) == 30


def test_lists_are_judged_by_what_was_hidden(tmp_path):
    relevant = {"ann": {"x", "z"}, "bob": {"y"}}
    trial = Trial(42, pa.table({"user_id": ["bob", "ann", "cleo"]}), ["x", "y", "z"], relevant)
    np.savez(tmp_path / "top.npz", ours=np.array([[0, 1], [2, 1]]), mean=np.array([[1], [0]]))
    found = judged(tmp_path, trial, {"requests": 4, "kept": 1, "tokens": 9})
    assert found.recalls["ours"].tolist() == [0.5, 1]
    assert found.recalls["mean"].tolist() == [0, 0]
    assert found.asked.tolist() == [True, False]  # ann and cleo are the first and third user
    assert (found.requests, found.kept, found.tokens) == (4, 1, 9)


def test_a_set_has_its_rows_and_texts_beat_chance(one, here, tmp_path):
    said = []
    rows = {row.measure: row for row in measure(one, tmp_path / "root", Asked(2, "none"), said.append)}
    best = rows["cold_recall20_vs_best_reference/shop"]
    # six items are held out: all of them fit into twenty places
    assert (best.ours, best.peer) == (1, 1)
    assert rows["trials/shop"].ours == 2
    assert any("shop, seed 43: " in line for line in said)
    assert ByKind.texts == 30  # once each, however many trials there are ...
    measure(one, tmp_path / "again", Asked(1, "none"), said.append)
    assert ByKind.texts == 30  # ... and runs


def test_texts_beat_chance_where_places_are_few(one, here, tmp_path, monkeypatch):
    monkeypatch.setattr(cold_start_references, "K", 2)
    rows = {row.measure: row for row in measure(one, tmp_path / "root", Asked(2, "none"), lambda _: None)}
    random = rows["cold_recall20_vs_random/shop"]
    assert random.ours > 1.2 * random.peer
    assert random.low > 0


def test_the_same_whatever_the_order_of_events(raw):
    first = next(trials(raw, 1))
    shuffled = raw.events.take(pa.array(np.random.default_rng(1).permutation(raw.events.num_rows)))
    raw.events = shuffled
    second = next(trials(raw, 1))
    assert (first.held, first.relevant) == (second.held, second.relevant)


def test_an_oracle_is_asked_and_what_it_said_is_counted(one, here, tmp_path):
    rows = {row.measure: row for row in measure(one, tmp_path / "root", Asked(1, "oracle"), lambda _: None)}
    assert rows["judge_requests/shop"].ours > 0
    assert rows["judge_preferences/shop"].ours > 0
    assert rows["judge_tokens/shop"].ours > rows["judge_requests/shop"].ours
    assert rows["cold_recall20_judgement_alone/shop"].ours > 0
