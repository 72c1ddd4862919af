"""# Nightmill, every week

Every night carries forward what was searched for before, as long as it is young. Once a week, for the night
of Sunday and after it, settings are searched anew (`tune --fresh`), the worth of each group of features is
measured anew (`ablate --fresh`), and everything that depends on either follows: alignment, candidates,
training set, ranker, lists and report of that night. No model is asked anything.

The logical date is the Sunday; its run starts on Monday at 00:00 UTC and waits for `nightly` of the same
date.

**When a task is red**, the last lines of its log say why and which command to run next, as in `nightly`.
`wait_for_nightly` is red where the night failed or did not end within half a day: mend `nightly` of that
date first, then *Clear* this one. Nights go on without it, with what was found before.
"""

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import DAG, CronTriggerTimetable

from deadlines import done_within
from night_jobs import NIGHTS, RETRIES, night_job
from parameters import profile, reprocess
from waiting import waits

# Set by `make airflow` for data that gets no new days: no week after that night starts by itself.
LAST_NIGHT = os.environ.get("_NIGHTMILL_LAST_NIGHT")

with DAG(
    dag_id="weekly_training",
    description="Settings searched, embeddings aligned, features measured and the ranker trained anew",
    doc_md=__doc__,
    # At the end of Sunday, and of Sunday: the interval is the day before, where a run's logical date is.
    schedule=CronTriggerTimetable("0 0 * * MON", timezone="UTC", interval=timedelta(days=1)),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),
    end_date=datetime.fromisoformat(f"{LAST_NIGHT}T00:00+00:00") if LAST_NIGHT else None,
    catchup=False,
    max_active_runs=1,
    deadline=done_within(timedelta(hours=24)),
    default_args=RETRIES,
    params={"profile": profile(), "reprocess": reprocess()},
    tags=["nightmill"],
):
    wait_for_nightly = ExternalTaskSensor(
        task_id="wait_for_nightly",
        external_dag_id="nightly",
        allowed_states=["success"],
        failed_states=["failed"],
        mode="reschedule",
        doc_md="Waits for `nightly` of its date.\n\n**When it is red** that night failed or never ended.",
        **waits(hours=12),
    )
    tune = night_job("tune", flags=["--fresh"])
    align_embeddings = night_job("align_embeddings")
    fit_recall = night_job("fit_recall")
    build_training_set = night_job("build_training_set")
    ablate = night_job("ablate", flags=["--fresh"])
    train_ranker = night_job("train_ranker")
    recommend = night_job("recommend")
    evaluate = night_job("evaluate", emits=[NIGHTS])

    wait_for_nightly >> [tune, align_embeddings] >> fit_recall >> build_training_set
    build_training_set >> ablate >> train_ranker >> recommend >> evaluate
