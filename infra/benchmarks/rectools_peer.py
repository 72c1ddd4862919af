"""RecTools' two-stage model as its own tutorial builds it, in an environment of its own.

Source: RecTools 0.19.0, examples/tutorials/candidate_ranking_model_tutorial.ipynb: candidate generators with
scores and ranks kept, a time splitter for the ranker's targets, its negative sampler, a reranker that gives
LGBMRanker its groups, and a feature collector. What the tutorial leaves to the data is chosen in the peer's
favour: ALS beside its two generators, 200 candidates, and features of users and items as of the moment.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from lightgbm import LGBMRanker
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import TimeRangeSplitter
from rectools.models import ImplicitALSWrapperModel, ImplicitItemKNNWrapperModel, PopularModel
from rectools.models.ranking import (
    CandidateFeatureCollector,
    CandidateGenerator,
    CandidateRankingModel,
    PerUserNegativeSampler,
    Reranker,
)

from infra.benchmarks.processes import result

TOP = 10
SEED = 32  # the tutorial's
# Candidates of a user, 200 in all: ALS, neighbours, popular lately.
CANDIDATES = (80, 80, 40)
FACTORS, NEIGHBOURS = 64, 100
# The tutorial draws 3 negatives a user; of 3, 20 and 100 this has the best mean over the three public sets.
NEGATIVES = 20
RECENT = (7, 30)  # days


class LgbmReranker(Reranker):
    """LGBMRanker with one group a user, in the order of its rows."""

    def prepare_fit_kwargs(self, candidates_with_target: pd.DataFrame) -> dict[str, Any]:
        """Features, targets and groups."""
        rows = candidates_with_target.sort_values(Columns.UserItem)
        return {
            "X": rows.drop(columns=[*Columns.UserItem, Columns.Target]),
            "y": rows[Columns.Target],
            "group": rows.groupby(Columns.User, sort=True).size().to_numpy(),
        }


class Features(CandidateFeatureCollector):
    """What a dataset says of users and items as of its last event, and what the catalogue says of items."""

    def __init__(self, catalogue: pd.DataFrame) -> None:
        """catalogue: item_id and numeric columns."""
        self.catalogue = catalogue

    def _get_user_features(self, users: Any, dataset: Dataset, fold_info: Any) -> pd.DataFrame:
        return _measures(dataset, Columns.User, users)

    def _get_item_features(self, items: Any, dataset: Dataset, fold_info: Any) -> pd.DataFrame:
        return _measures(dataset, Columns.Item, items).merge(self.catalogue, on=Columns.Item, how="left")


def _measures(dataset: Dataset, key: str, wanted: Any) -> pd.DataFrame:
    """Events in all and lately, and days since the first and the last, of users or of items."""
    rows = dataset.get_raw_interactions()
    name, now = key.removesuffix("_id"), rows[Columns.Datetime].max()
    rows["age"] = (now - rows[Columns.Datetime]).dt.total_seconds() / 86_400
    grouped = rows.groupby(key)["age"]
    found = pd.DataFrame(
        {f"{name}_events": grouped.size(), f"{name}_first": grouped.max(), f"{name}_last": grouped.min()}
    )
    for days in RECENT:
        found[f"{name}_events_{days}d"] = rows[rows["age"] <= days].groupby(key).size()
    return found.fillna(0).reindex(wanted).rename_axis(key).reset_index()


def dataset(before: pd.DataFrame, days: int) -> Dataset:
    """One row for each pair and side of the ranker's split, so that a target is there once.

    Its weight is 1 + log2(1 + the pair's weight over the mean weight), as our own ALS is given.
    """
    late = before["event_time"] >= before["event_time"].max().ceil("D") - timedelta(days=days)
    relative = before["weight"].clip(lower=0) / max(before["weight"].clip(lower=0).mean(), 1e-12)
    pairs = (
        before.assign(late=late, weight=relative)
        .groupby(["user_id", "item_id", "late"], sort=True)
        .agg(weight=("weight", "sum"), datetime=("event_time", "max"))
        .reset_index()
    )
    pairs["weight"] = 1 + np.log2(1 + pairs["weight"])
    return Dataset.construct(pairs[[Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]])


def model(
    days: int, catalogue: pd.DataFrame, threads: int, negatives: int = NEGATIVES
) -> CandidateRankingModel:
    """The two stages, not fitted."""
    als = AlternatingLeastSquares(factors=FACTORS, random_state=SEED, num_threads=threads)
    stages = (
        ImplicitALSWrapperModel(als),
        ImplicitItemKNNWrapperModel(CosineRecommender(K=NEIGHBOURS, num_threads=threads)),
        PopularModel(period=timedelta(days=max(RECENT))),
    )
    ranker = LGBMRanker(
        random_state=SEED, n_jobs=threads, deterministic=True, force_row_wise=True, verbosity=-1
    )
    return CandidateRankingModel(
        [
            CandidateGenerator(s, n, keep_ranks=True, keep_scores=True)
            for s, n in zip(stages, CANDIDATES, strict=True)
        ],
        TimeRangeSplitter(f"{days}D", n_splits=1),
        LgbmReranker(ranker),
        sampler=PerUserNegativeSampler(n_negatives=negatives, random_state=SEED),
        feature_collector=Features(catalogue),
    )


def run(folder: Path, days: int, threads: int, negatives: int = NEGATIVES) -> dict[str, Any]:
    """Fit on before.parquet, write rectools.parquet for the users of users.parquet; seconds of both."""
    before = pd.read_parquet(folder / "before.parquet")
    before["event_time"] = before["event_time"].dt.tz_localize(None)
    users = pd.read_parquet(folder / "users.parquet")["user_id"].to_numpy()
    catalogue = pd.read_parquet(folder / "catalogue.parquet")
    began = time.monotonic()
    data = dataset(before, days)
    two_stage = model(days, catalogue, threads, negatives)
    two_stage.fit(data)
    found = two_stage.recommend(users, data, TOP, filter_viewed=True)
    found[[Columns.User, Columns.Item, Columns.Rank]].to_parquet(folder / "rectools.parquet", index=False)
    return {"seconds": time.monotonic() - began}


if __name__ == "__main__":
    config = json.loads(sys.argv[2])
    result(run(Path(config.pop("folder")), **config))
