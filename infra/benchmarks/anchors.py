"""nightmill bench anchors: our recommenders and our metrics where others have published what to expect.

MovieLens-100k, three protocols (docs/protocol.md): item similarity as in SAR, popularity, and leaving out
each user's last item. `peer` is the published value, not a second run.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_matrix

from feature_store.sections import Recall, Settings
from infra.benchmarks.measures import Row
from jobs.assets import resolve_dataset
from jobs.recommender import item_knn, metrics, trending
from jobs.recommender.history import Codes, History, encode
from jobs.recommender.proposals import Proposals

K = 10
SEED = 42
# recommenders-team/recommenders, examples/00_quick_start/sar_movielens.ipynb
SAR = {"ndcg10": 0.3795, "precision10": 0.3311, "recall10": 0.1768}
# examples/02_model_collaborative_filtering/baseline_deep_dive.ipynb, its own split
POPULARITY = {"ndcg10": 0.252867, "precision10": 0.224628, "recall10": 0.111736}
# The best row of OpenP5's table for MovieLens-100k, all items ranked
LEAVE_ONE_OUT = {"hit_rate10": 0.1208, "ndcg10": 0.0595}
METRICS = {
    "ndcg10": metrics.ndcg_at_k,
    "precision10": metrics.precision_at_k,
    "recall10": metrics.recall_at_k,
    "hit_rate10": metrics.hit_rate_at_k,
}
# Tried on the items before the last ones; the last ones are looked at once, with the best of these.
GRID: Mapping[str, tuple[Any, ...]] = {
    "knn_similarity": ("cosine", "jaccard"),
    "knn_neighbours": (100, 100_000),
    "knn_shrinkage": (0.0, 10.0),
    "knn_half_life_days": (0.0, 1.0, 2.0, 5.0, 20.0),
}
CORE = 5


class Model(Protocol):
    """What recommends items a user has not seen."""

    def recommend(self, users: Codes, n: int, seen: csr_matrix) -> Proposals:
        """The best n of each user."""


def run(settings: Settings, say: Callable[[str], None]) -> list[Row]:
    """Every anchor: ours, what was published, and the ratio."""
    ratings = read_ratings(resolve_dataset("movielens-100k", settings))
    rows = []
    for name, anchor, published in (
        ("sar", sar, SAR),
        ("popularity", popularity, POPULARITY),
        ("leave_one_out", leave_one_out, LEAVE_ONE_OUT),
    ):
        say(name)
        found = anchor(ratings, settings.recall)
        rows += [Row(f"{metric}/{name}", found[metric], published[metric], "") for metric in published]
    return rows


def read_ratings(folder: Path) -> pd.DataFrame:
    """user, item, rating and seconds since 1970, in the order of the file."""
    ratings = pd.read_csv(next(folder.glob("*.inter")), sep="\t")
    return ratings.set_axis(["user", "item", "rating", "seconds"], axis="columns")


def sar(ratings: pd.DataFrame, settings: Recall) -> dict[str, float]:
    """The channel item_knn as SAR is in its quick start: jaccard, all neighbours, a half-life of 30 days."""
    train, test = split_each_user(ratings)
    alike = {"knn_similarity": "jaccard", "knn_neighbours": 100_000, "knn_shrinkage": 0.0}
    history = history_of(train)
    model = item_knn.fit(history, settings.model_copy(update=alike | {"knn_half_life_days": 30.0}))
    return judge(model, history, test)


def popularity(ratings: pd.DataFrame, settings: Recall) -> dict[str, float]:
    """The channel trending without decay, over the split of the notebook that published it."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(ratings, train_size=0.75, random_state=SEED)
    history = history_of(train)
    known = test[test["user"].isin(train["user"])]
    return judge(trending.fit(history, math.inf), history, known)


def leave_one_out(ratings: pd.DataFrame, settings: Recall) -> dict[str, float]:
    """item_knn with ages counted in events, tuned on the items before the last, judged once on the last."""
    events = in_order(core(ratings, CORE))

    def result(held_back: int, choice: Mapping[str, Any]) -> dict[str, float]:
        train, test = events[events["back"] > held_back], events[events["back"] == held_back]
        history = history_of(train.assign(seconds=-86_400 * train["back"]), newest=-86_400 * held_back)
        return judge(item_knn.fit(history, settings.model_copy(update=choice)), history, test)

    best = max(_choices(), key=lambda choice: result(1, choice)["ndcg10"])
    return result(0, best)


def _choices() -> Iterator[dict[str, Any]]:
    for values in product(*GRID.values()):
        yield dict(zip(GRID, values, strict=True))


def split_each_user(ratings: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three quarters of each user's ratings, drawn as the quick start draws them, and the rest."""
    parts = []
    for _, rows in ratings.groupby("user"):
        drawn = rows.sample(frac=1, random_state=SEED)
        cut = round(0.75 * len(drawn))
        parts.append((drawn.iloc[:cut], drawn.iloc[cut:]))
    return pd.concat([train for train, _ in parts]), pd.concat([test for _, test in parts])


def core(ratings: pd.DataFrame, least: int) -> pd.DataFrame:
    """What is left when users and items with fewer ratings than `least` go, until none goes any more."""
    while True:
        kept = ratings[ratings.groupby("user")["item"].transform("size") >= least]
        kept = kept[kept.groupby("item")["user"].transform("size") >= least]
        if len(kept) == len(ratings):
            return kept
        ratings = kept


def in_order(ratings: pd.DataFrame) -> pd.DataFrame:
    """By user and time, those of one second as in the file; `back` counts from each user's last, 0."""
    ordered = ratings.sort_values(["user", "seconds"], kind="stable")
    return ordered.assign(back=ordered.groupby("user").cumcount(ascending=False))


def history_of(train: pd.DataFrame, newest: int | None = None) -> History:
    """The events as channels are fitted on them; ages count from the newest event."""
    last = int(train["seconds"].max()) if newest is None else newest
    events = pa.table(
        {
            "user_id": train["user"].astype(str).tolist(),
            "item_id": train["item"].astype(str).tolist(),
            "event_time": pa.array(train["seconds"].to_numpy() * 1_000_000, pa.timestamp("us", tz="UTC")),
            "weight": train["rating"].to_numpy().astype(float),
        }
    )
    as_of = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=last)
    return encode(events, pa.chunked_array([events["item_id"].unique()]), as_of)


def judge(model: Model, history: History, test: pd.DataFrame) -> dict[str, float]:
    """Means over the users of the test rows; every item of the history is ranked, seen ones left out."""
    wanted = test.astype({"user": str, "item": str}).groupby("user")["item"].agg(set)
    users = np.searchsorted(np.array(history.user_ids.to_pylist()), wanted.index.to_numpy()).astype(np.int32)
    found = model.recommend(users, K, history.seen(users)).items
    names = history.item_ids.to_pylist()
    lists = [[names[item] for item in row if item >= 0] for row in found]
    return {name: float(metric(lists, wanted.tolist(), K).mean()) for name, metric in METRICS.items()}
