"""# Nightmill, keeping the store small

Every day at noon UTC, between nights: `nightmill compact` merges the small files that stored answers and
vectors come in, `nightmill gc` removes runs that were replaced, what dead processes left, and partitions
older than `retention.days`. Both are safe while nights run: what somebody reads is leased and stays.

**When a task is red**, the last lines of its log say why. Nothing is lost and no night waits for it:
*Clear* the task, or leave it to tomorrow's run. The parameter `dry_run` only lists what `gc` would remove.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from job_operator import NightmillOperator
from night_jobs import RETRIES
from parameters import flag, profile

with DAG(
    dag_id="maintenance",
    description="Small files merged, what nobody needs any more removed",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 12 * * *", timezone="UTC"),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    default_args=RETRIES,
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Only list what gc would remove."
        ),
        "profile": profile(),
    },
    tags=["nightmill"],
):
    NightmillOperator(
        task_id="compact",
        command=["nightmill", "compact"],
        doc_md="`nightmill compact`\n\n**When it is red** the disk is full more often than not; *Clear* it.",
        execution_timeout=timedelta(hours=6),
    )
    # Not after compact: a full disk stops that, and this makes room.
    NightmillOperator(
        task_id="gc",
        command=["nightmill", "gc", flag("dry_run")],
        doc_md="`nightmill gc`\n\n**When it is red** nothing that is read was removed; *Clear* it.",
        execution_timeout=timedelta(hours=6),
    )
