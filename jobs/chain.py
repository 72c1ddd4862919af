"""The jobs of a night, in the order of their work.

A job is imported only when it is run, so that a night in which nothing changed costs next to nothing.
"""

import importlib

from jobs.step import Job

# The way of the data, in order.
CHAIN = (
    "ingest",
    "profile_items",
    "profile_users",
    "embed",
    "align_embeddings",
    "simulate_cold_start",
    "propose_categories",
    "build_features",
    "tune",
    "fit_recall",
    "build_training_set",
    "ablate",
    "train_ranker",
    "recommend",
    "evaluate",
)

# Jobs that use what an earlier night found, as long as it is young.
SEARCHES = ("tune", "ablate")


def load_job(name: str) -> Job:
    """The job of that name; its file is jobs/<name>.py."""
    job: Job = importlib.import_module(f"jobs.{name}").JOB
    return job
