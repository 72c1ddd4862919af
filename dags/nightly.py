"""# Nightmill, every night

One task is one job: `nightmill <job> --ds <ds>`. The logical date `ds` is the day whose events are the newest
a job may read; the run for it starts when that day has ended (00:00 UTC of the next day).

    ingest -> profile_items -> embed -> simulate_cold_start -> fit_recall -> train_ranker -> recommend -> evaluate
           -> profile_users ----------^ embed, profile_users -> build_features ----^

A job whose inputs have not changed since it last published says so and does nothing, so clearing a run or
running a date twice is always safe.

**When a task is red**, the last lines of its log say what was refused and what to do about it. Exit codes 2
(settings), 3 (a quality gate refused to publish) and 4 (token budget used up) are not tried again; everything
else is, twice, with growing pauses.

**One date at a time** (`max_active_runs=1`), oldest first: `train_ranker` learns from the candidates and
`evaluate` judges the recommendations that earlier dates published, so two dates at once would give a result
that depends on which came first. It is not `depends_on_past`, because a night that failed must not keep the
next one from publishing. In a backfill leave *max active runs* at 1 and the order forward for the same reason.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable
from job_operator import JobOperator

with DAG(
    dag_id="nightly",
    description="Catalogue and histories -> model-made features -> recommendations, one partition a night",
    doc_md=__doc__,
    # Not "@daily": in Airflow 3 that is a trigger timetable, whose ds is the day the run starts.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
    },
    tags=["nightmill"],
):

    def job(name: str, doc: str, **options: Any) -> JobOperator:
        return JobOperator(task_id=name, job=name, doc_md=doc, **options)

    engine = {"pool": "generation"}  # as many slots as the engine serves jobs at once

    ingest = job("ingest", "Reads the raw files into `interactions`, `items` and `users`.")
    profile_items = job("profile_items", "Asks the model about new and changed items: `item_profiles`.", **engine)
    profile_users = job("profile_users", "Asks the model what users like, as of ds: `user_profiles`.", **engine)
    embed = job("embed", "Turns texts and histories into vectors: `item_embeddings`, `user_embeddings`.")
    simulate = job(
        "simulate_cold_start", "Asks which of two cold items a user takes: `synthetic_interactions`.", **engine
    )
    build_features = job("build_features", "Windowed features by Spark SQL: `item_features`, `user_features`.")
    fit_recall = job("fit_recall", "Fits every recall channel and publishes `candidates`.")
    train_ranker = job("train_ranker", "Joins the `training_set` as of each label's time and fits the ranker.")
    recommend = job("recommend", "Ranks the candidates: `recommendations`, the top items of every active user.")
    evaluate = job("evaluate", "Holds earlier recommendations against what came after: `evaluations`, the report.")

    ingest >> [profile_items, profile_users]
    profile_items >> embed
    [embed, profile_users] >> simulate
    [embed, profile_users] >> build_features
    simulate >> fit_recall
    [build_features, fit_recall] >> train_ranker
    train_ranker >> recommend >> evaluate
