"""# Nightmill, after nights that came out of order

Training and evaluation read earlier nights. In a backfill with several active runs, or backwards, a night
may run before those it learns from are there. This DAG starts whenever a night is complete, waits until
none is queued or running, and then runs `nightmill renew --since <when the last renewal began>`: what
learnt from other nights than are there now runs again, in order of dates, with the settings its night was
made with. After that the tables are those of `nightmill backfill`. On an ordinary night there is nothing to
renew.

Later nights that were published before are left as they are and named in the log; the parameter `since`
takes them in. It starts unpaused; leave it so.

**When it is red**: `wait_for_nights` gave up because runs of `nightly` or `weekly_training` were queued or
running for a day and a half, often because the DAG was paused in mid-backfill: let them run or fail, then
*Clear* the task. `renew` names the nights that failed, and why; mend that and *Clear* it: what is done
stays done.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from night_jobs import NIGHTS, RETRIES, SPARK
from parameters import profile, since
from renew_operator import RenewOperator
from waiting import NothingUnderWaySensor, waits

with DAG(
    dag_id="renewal",
    description="What learnt from earlier nights before they were there learns again",
    doc_md=__doc__,
    schedule=[NIGHTS],
    start_date=datetime(1970, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # what is told meanwhile begins one more, afterwards
    is_paused_upon_creation=False,
    default_args=RETRIES,
    params={"since": since(), "profile": profile()},
    tags=["nightmill"],
):
    wait_for_nights = NothingUnderWaySensor(
        task_id="wait_for_nights",
        dags=["nightly", "weekly_training"],
        doc_md="Waits until no night is queued or running.\n\n**When it is red** it gave up; see the DAG.",
        **waits(hours=36),
    )
    renew = RenewOperator(
        task_id="renew",
        told_by=NIGHTS,
        doc_md="`nightmill renew`\n\n**When it is red** its log names the nights that failed, and why. Mend "
        "that, then *Clear* it: what is done stays done.",
        pool=SPARK,
        execution_timeout=timedelta(hours=24),
    )
    wait_for_nights >> renew
