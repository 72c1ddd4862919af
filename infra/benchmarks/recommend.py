"""nightmill bench recommend: recall beside bare implicit, ranking in rows a second, memory, growth.

Both sides of recall use the same factors, which implicit fitted: what is compared is the search, seen items
left out, ours exact and with ties settled by item. Ranking is the recommend job itself over made tables with
a ranker that the project's own code trained.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from feature_store.sections import Settings
from infra.benchmarks import made_night
from infra.benchmarks.made_night import Scale
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import folder_of, result, side

SCALE = Scale(users=200_000, items=100_000, events=20_000_000, candidates=200)
# Users grow and what is done for each of them stays: a tenth of the events and a quarter of the candidates.
GROWTH = (Scale(200_000, 100_000, 2_000_000, 50), Scale(1_000_000, 100_000, 10_000_000, 50))
# The join in Spark that training runs, over so many users' candidates.
SPARK_USERS = 5_000
# Enough for factors; how good they are changes nothing about how long a search takes.
_ITERATIONS = 2
_USERS = 4096


def run(settings: Settings, say: Callable[[str], None]) -> list[Row]:
    """Every measure."""
    return [*measure(settings, say, SCALE, SPARK_USERS), growth(settings, say, GROWTH)]


def measure(settings: Settings, say: Callable[[str], None], scale: Scale, spark_users: int) -> list[Row]:
    """Recall beside implicit, ranking beside the same join in Spark, and the memory of both."""
    root = folder_of(settings.data_root, "night")
    sides = _sides(root, scale, say)
    say(f"the same search in bare implicit, {scale.candidates} items for each user")
    peer = side("recommend", "implicit", root=str(root), **asdict(scale))
    shutil.rmtree(root)
    small = Scale(spark_users, scale.items, 20 * spark_users, scale.candidates)
    say(f"joining the features of {spark_users * scale.candidates:,} candidates in Spark")
    root = folder_of(settings.data_root, "small")
    _sides(root, small, say, rank=False)
    spark = side("recommend", "spark", root=str(root), **asdict(small))
    shutil.rmtree(root)
    rank = sides["rank"]
    return [
        Row("recall_seconds_vs_implicit", sides["recall"]["seconds"], peer["seconds"], "s"),
        Row("rank_rows_per_second", rank["rows"] / (rank["join"] + rank["score"]), None, "rows/s"),
        Row(
            "join_rows_per_second",
            rank["rows"] / rank["join"],
            spark["rows"] / spark["join"],
            "rows/s",
        ),
        Row("explained_places_per_second", rank["explained"] / rank["explain"], None, "places/s"),
        Row("recommend_seconds", rank["seconds"], None, "s"),
        Row("peak_gib", max(found["peak_gib"] for found in sides.values()), None, "GiB"),
    ]


def growth(settings: Settings, say: Callable[[str], None], scales: tuple[Scale, Scale]) -> Row:
    """Recall and the recommend job for the more users beside the fewer."""
    seconds = []
    for scale in scales:
        root = folder_of(settings.data_root, f"users-{scale.users}")
        sides = _sides(root, scale, say)
        seconds.append(sides["recall"]["seconds"] + sides["rank"]["seconds"])
        shutil.rmtree(root)
    return Row("users_growth", seconds[1], seconds[0], "s")


def _sides(
    root: Path, scale: Scale, say: Callable[[str], None], rank: bool = True
) -> dict[str, dict[str, Any]]:
    """What recall and ranking of a made night took."""
    say(f"making {scale.events:,} events of {scale.users:,} users on {scale.items:,} items")
    config = {"root": str(root), **asdict(scale)}
    side("recommend", "make", **config)
    say(f"recall: {scale.candidates} items for each user")
    found = {"recall": side("recommend", "recall", **config)}
    side("recommend", "candidates", **config)
    if rank:
        say(f"ranking {scale.users * scale.candidates:,} candidates")
        found["rank"] = side("recommend", "rank", **config)
    return found


# -- one side each, in a process of its own -----------------------------------------------------------


def make(root: Path, scale: Scale) -> dict[str, Any]:
    """The night's tables, and the factors that implicit learns from its events."""
    from implicit.cpu.als import AlternatingLeastSquares

    from jobs.recommender.threads import one_blas_thread

    made_night.write(root, scale)
    taken = _taken(scale)
    with one_blas_thread():
        model = AlternatingLeastSquares(factors=32, iterations=_ITERATIONS, random_state=made_night.SEED)
        model.fit(taken, show_progress=False)
    np.savez(root / "factors.npz", users=model.user_factors, items=model.item_factors)
    return {}


def _taken(scale: Scale) -> Any:
    """Items each user has an event on: ones, shape (users, items)."""
    from scipy.sparse import csr_matrix

    users, items = made_night.events(scale)
    matrix = csr_matrix(
        (np.ones(len(users), dtype=np.float32), (users, items)), shape=(scale.users, scale.items)
    )
    matrix.data[:] = 1
    return matrix


def recall(root: Path, scale: Scale) -> dict[str, Any]:
    """Our als channel for every user."""
    from jobs.recommender.als import Als

    factors, taken = np.load(root / "factors.npz"), _taken(scale)
    known = np.diff(taken.indptr) > 0, np.bincount(taken.indices, minlength=scale.items) > 0
    channel = Als(factors["users"], factors["items"], *known)
    shape = (scale.users, scale.candidates)
    items, scores = np.full(shape, -1, dtype=np.int32), np.empty(shape, dtype=np.float32)
    started = time.monotonic()
    for start in range(0, scale.users, _USERS):
        users = np.arange(start, min(start + _USERS, scale.users), dtype=np.int32)
        found = channel.recommend(users, scale.candidates, taken[users])
        items[users], scores[users] = found.items, found.scores
    seconds = time.monotonic() - started
    np.savez(root / "proposals.npz", items=items, scores=scores)
    return {"seconds": seconds}


def implicit(root: Path, scale: Scale) -> dict[str, Any]:
    """implicit's own recommend over the same factors."""
    from implicit.cpu.als import AlternatingLeastSquares

    from jobs.recommender.threads import cores, one_blas_thread

    factors, taken = np.load(root / "factors.npz"), _taken(scale)
    model = AlternatingLeastSquares(factors=32, num_threads=cores())
    model.user_factors, model.item_factors = factors["users"], factors["items"]
    started = time.monotonic()
    with one_blas_thread():
        model.recommend(np.arange(scale.users), taken, N=scale.candidates, filter_already_liked_items=True)
    return {"seconds": time.monotonic() - started}


def candidates(root: Path, scale: Scale) -> dict[str, Any]:
    """The candidates table, out of what recall proposed."""
    found = np.load(root / "proposals.npz")
    made_night.write_candidates(root, found["items"], found["scores"].astype(float), scale.items)
    return {}


def rank(root: Path, scale: Scale) -> dict[str, Any]:
    """The recommend job over the made night."""
    from infra.benchmarks.made_ranker import made_ranker
    from jobs import recommend

    night = _night(root, "candidates")
    made_night.write_row(root, "rankers", made_ranker(night, scale))
    night = _night(root, "candidates", "rankers")
    started = time.monotonic()
    recommend.run(night)
    seconds = time.monotonic() - started
    explained = scale.users * min(night.settings.recommend.explained, night.settings.recommend.top)
    timings = {name: night.timings[name] for name in ("join", "score", "explain")}
    return {"seconds": seconds, "rows": scale.users * scale.candidates, "explained": explained} | timings


def spark(root: Path, scale: Scale) -> dict[str, Any]:
    """The join that training runs, in one Spark session whose start is not counted."""
    from feature_store.spark import session
    from jobs import training_set

    night = _night(root, "candidates")
    with session(night.settings):
        started = time.monotonic()
        with training_set.score_rows(night):
            seconds = time.monotonic() - started
    return {"join": seconds, "rows": scale.users * scale.candidates}


def _night(root: Path, *more: str) -> Any:
    from feature_store.partitions import Store
    from feature_store.settings import load_settings
    from jobs.night import Night

    settings = load_settings().model_copy(update={"data_root": root})
    return Night(made_night.DS, settings, Store(root), made_night.inputs(root, *more), "run")


def main() -> None:
    """One side."""
    task, config = sys.argv[1], json.loads(sys.argv[2])
    root = Path(config.pop("root"))
    tasks: dict[str, Callable[[Path, Scale], dict[str, Any]]] = {
        task.__name__: task for task in (make, recall, implicit, candidates, rank, spark)
    }
    result(tasks[task](root, Scale(**config)))


if __name__ == "__main__":
    main()
