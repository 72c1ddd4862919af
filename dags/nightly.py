"""# Nightmill, every night

One task is one job: `nightmill <job> --ds <ds>`. The logical date `ds` is the newest day whose events a job
may read; its run starts when that day has ended, at 00:00 UTC of the next.

A job whose inputs have not changed since it last published says so and does nothing, so to clear a run, or to
run a date twice, is always safe.

**When a task is red**, the last lines of its log say what failed, for which date, why, and which command to
run next. Exit codes 2 (wrong settings), 3 (a quality gate refused to publish) and 4 (the token budget is used
up) are not tried again; anything else is, twice, with growing pauses. Once it is mended, *Clear* the task.
Where a budget was enough to publish most rows, the night goes on with them and only `check_complete` is red.

**Backfills** may run several dates at once, in both directions, over dates that exist or not; `reprocess`
runs every job again. `build_training_set` learns from the lists of earlier dates and `evaluate` judges them,
so a date that ran before an older one knows too little. The DAG `renewal` sees to that: it waits until no
night is running, then runs again whatever learnt from other nights than are there now. Leave it unpaused.

**Parameters** are for one run or one backfill: which published prompts, which profile, how many shards, which
budget. Left empty, the settings count. The XCom of `profile_items` and `profile_users`, their logs and the
events of the assets say which prompt and model a run used.
"""

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable

from deadlines import done_within
from night_jobs import NIGHTS, RETRIES, asking, check_complete, list_shards, night_job
from parameters import budget_tokens, profile, prompt_version, reprocess, shards

# Set by `make airflow` for data that gets no new days: no night after that one starts by itself.
LAST_NIGHT = os.environ.get("_NIGHTMILL_LAST_NIGHT")

with DAG(
    dag_id="nightly",
    description="A catalogue and its users' histories -> what a model says of them -> recommendations",
    doc_md=__doc__,
    # Not "@daily": in Airflow 3 that is a trigger timetable, whose ds is the day the run starts.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),  # any date may be backfilled
    end_date=datetime.fromisoformat(f"{LAST_NIGHT}T00:00+00:00") if LAST_NIGHT else None,
    catchup=False,
    max_active_runs=4,  # as many as the form of a backfill offers; see `renewal`
    deadline=done_within(timedelta(hours=6)),
    default_args=RETRIES,
    params={
        "profile": profile(),
        "item_prompt_version": prompt_version("profile_item", "Prompt for items"),
        "user_prompt_version": prompt_version("profile_user", "Prompt for users"),
        "shards": shards(),
        "budget_tokens": budget_tokens(),
        "reprocess": reprocess(),
    },
    tags=["nightmill"],
):
    shares = list_shards()

    ingest = night_job("ingest")
    profile_items = asking("profile_items", shares, after=[ingest])
    profile_users = asking("profile_users", shares, after=[ingest])
    embed = night_job("embed")
    align_embeddings = night_job("align_embeddings")
    simulate_cold_start = asking("simulate_cold_start", shares, after=[embed])
    propose_categories = asking("propose_categories", shares, after=[embed])
    build_features = night_job("build_features")
    tune = night_job("tune")
    fit_recall = night_job("fit_recall")
    build_training_set = night_job("build_training_set")
    ablate = night_job("ablate")
    train_ranker = night_job("train_ranker")
    recommend = night_job("recommend")
    evaluate = night_job("evaluate", emits=[NIGHTS])

    profile_items >> embed >> [align_embeddings, tune, simulate_cold_start] >> fit_recall
    [embed, profile_users] >> build_features
    [build_features, fit_recall] >> build_training_set >> ablate >> train_ranker >> recommend
    [propose_categories, recommend] >> evaluate  # the report shows both
    evaluate >> check_complete(
        ["profile_items", "profile_users", "simulate_cold_start", "propose_categories"]
    )
