"""# Nightmill, every night

One task is one job: `nightmill <job> --ds <ds>`. The logical date `ds` is the newest day whose events a job
may read; its run starts when that day has ended, at 00:00 UTC of the next.

A job whose inputs have not changed since it last published says so and does nothing, so to clear a run, or to
run a date twice, is always safe.

**When a task is red**, the last lines of its log say what was refused and what to do. Exit codes 2 (wrong
settings), 3 (a quality gate refused to publish) and 4 (the token budget is used up) are not tried again;
anything else is, twice, with growing pauses.

**One date at a time** (`max_active_runs=1`): `build_training_set` joins the candidates, and `evaluate` judges
the recommendations, that earlier dates published, so of two dates at once the later would not know what it
finds. It is not `depends_on_past`, because a night that failed must not keep the next one from publishing.
The backfill form has a *max active runs* of its own: leave it at 1, and the order forward.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable

from job_operator import JobOperator

ENGINE = {"pool": "generation"}  # as many slots as jobs may use the model at once


def job(name: str, doc: str, **options: Any) -> JobOperator:
    """The task that runs one job."""
    return JobOperator(task_id=name, job=name, doc_md=doc, **options)


with DAG(
    dag_id="nightly",
    description="A catalogue and its users' histories -> what a model says of them -> recommendations",
    doc_md=__doc__,
    # Not "@daily": in Airflow 3 that is a trigger timetable, whose ds is the day the run starts.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),  # any date may be backfilled
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
    ingest = job("ingest", "Reads the raw files: `interactions`, `items`, `users`.")
    profile_items = job(
        "profile_items", "Asks the model about new or changed items: `item_profiles`.", **ENGINE
    )
    profile_users = job("profile_users", "Asks the model what users like: `user_profiles`.", **ENGINE)
    embed = job("embed", "Texts and histories become vectors: `item_embeddings`, `user_embeddings`.")
    align_embeddings = job(
        "align_embeddings",
        "From what is known of items to what users take: `aligned_items`, `alignments`.",
    )
    simulate_cold_start = job(
        "simulate_cold_start",
        "Asks a judge that was checked which of two cold items users take: `synthetic_interactions`.",
        **ENGINE,
    )
    propose_categories = job(
        "propose_categories", "For items without a category: `item_categories_proposed`.", **ENGINE
    )
    build_features = job(
        "build_features", "Spark SQL over windows: `lifetimes`, `item_features`, `user_features`."
    )
    tune = job("tune", "Searches settings of the recall channels on windows of the past: `tunings`.")
    fit_recall = job("fit_recall", "Fits every recall channel and merges what they propose: `candidates`.")
    build_training_set = job(
        "build_training_set",
        "Joins past lists, and answers about cold items, with what was known at their time: `training_set`, "
        "`synthetic_pairs`.",
    )
    ablate = job("ablate", "Measures what each group of features is worth: `ablations`.")
    train_ranker = job("train_ranker", "Fits the ranker on the groups that are worth it: `rankers`.")
    recommend = job("recommend", "Ranks the candidates of every active user: `recommendations`.")
    evaluate = job("evaluate", "Earlier recommendations against what came after: `evaluations`, the report.")

    ingest >> [profile_items, profile_users]
    profile_items >> embed
    [embed, profile_users] >> simulate_cold_start >> fit_recall
    embed >> [align_embeddings, tune] >> fit_recall
    [embed, profile_users] >> build_features
    [build_features, fit_recall] >> build_training_set >> ablate >> train_ranker >> recommend
    embed >> propose_categories  # which the report shows
    [propose_categories, recommend] >> evaluate
