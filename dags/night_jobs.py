"""The jobs of a night as tasks: what each does and writes, in which pool it runs, and how long at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, task
from airflow.sdk.exceptions import AirflowFailException

from failures import say_what_to_do
from job_operator import JobOperator
from placing import placed

# Told when a night is complete: what learnt from earlier nights may have to be renewed.
NIGHTS = Asset(name="nights", uri="nightmill://nights/complete")
RETRIES = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "on_failure_callback": say_what_to_do,
    "on_retry_callback": say_what_to_do,
}
MODEL = "generation"  # as many slots as tasks may use the model at once
SPARK = "spark"


@dataclass(frozen=True)
class NightJob:
    """One job: what it does, the tables it writes, what most often stops it, its pool, its longest hours."""

    does: str
    writes: tuple[str, ...]
    red: str
    pool: str = "default_pool"
    hours: float = 3.0


JOBS = {
    "ingest": NightJob(
        "Reads the raw files.",
        ("interactions", "items", "users"),
        "A file that is missing, was cut off or has other columns; the log names file, place and remedy.",
    ),
    "profile_items": NightJob(
        "Asks the model about new or changed items.",
        ("item_profiles",),
        "The model's server does not answer, the budget is used up, or too many answers were refused "
        "(`nightmill status`).",
        MODEL,
        hours=12,
    ),
    "profile_users": NightJob(
        "Asks the model what users like.",
        ("user_profiles",),
        "As `profile_items`.",
        MODEL,
        hours=12,
    ),
    "embed": NightJob(
        "Texts and histories become vectors.",
        ("item_embeddings", "user_embeddings"),
        "The embedding model cannot be loaded (`nightmill prepare`), or memory was short.",
        hours=6,
    ),
    "align_embeddings": NightJob(
        "Learns from what is known of items whom they are for.",
        ("aligned_items", "alignments"),
        "Memory was short.",
    ),
    "simulate_cold_start": NightJob(
        "Asks a judge that was checked which of two cold items users take.",
        ("synthetic_interactions",),
        "As `profile_items`.",
        MODEL,
        hours=12,
    ),
    "propose_categories": NightJob(
        "Proposes categories for items that have none; only the report shows them.",
        ("item_categories_proposed",),
        "As `profile_items`.",
        MODEL,
        hours=12,
    ),
    "build_features": NightJob(
        "Spark SQL over windows of events.",
        ("lifetimes", "item_features", "user_features"),
        "Spark's master is away or a worker was lost; a gate found a value out of its range.",
        SPARK,
        hours=6,
    ),
    "tune": NightJob(
        "Settings of the recall channels, searched on windows of the past or carried forward.",
        ("tunings",),
        "Memory was short.",
        hours=6,
    ),
    "fit_recall": NightJob(
        "Fits every recall channel and merges what they propose.",
        ("item_factors", "user_factors", "candidates"),
        "Memory was short.",
    ),
    "build_training_set": NightJob(
        "Joins past lists, and answers about cold items, with what was known at their time.",
        ("training_set", "synthetic_pairs"),
        "As `build_features`.",
        SPARK,
        hours=6,
    ),
    "ablate": NightJob(
        "Measures what each group of features is worth, or carries forward what was measured.",
        ("ablations",),
        "Memory was short.",
        hours=6,
    ),
    "train_ranker": NightJob(
        "Fits the ranker on the groups that are worth it.", ("rankers",), "Memory was short."
    ),
    "recommend": NightJob(
        "Ranks the candidates of every active user.",
        ("recommendations",),
        "A gate found lists that may not be shown. What was published last is still there for its date.",
    ),
    "evaluate": NightJob(
        "Earlier recommendations against what came after; writes the report.",
        ("evaluations",),
        "The lists of this date are published all the same; only the report waits.",
    ),
}
DOC = """\
{does}

{written}. By hand: `nightmill {job} --ds {{DATE}}`

**When it is red**: {red} The last lines of its log say what happened and which command to run next. Then \
*Clear* the task: it starts again, and what waits for it; what was asked or published is there already.
"""


def doc_of(name: str, shards: bool = False) -> str:
    """The documentation of a job's task, or of the tasks that share its requests."""
    job = JOBS[name]
    written = "Writes " + ", ".join(f"`{table}`" for table in job.writes)
    if shards:
        written = (
            f"Answers a share of the requests of `{name}`, which then finds them answered; publishes nothing"
        )
    return DOC.format(does=job.does, written=written, job=name, red=job.red)


def night_job(name: str, **options: Any) -> JobOperator:
    """The task that runs one job of the night."""
    job = JOBS[name]
    return JobOperator(
        task_id=name,
        job=name,
        writes=job.writes,
        doc_md=doc_of(name),
        pool=job.pool,
        executor_config=placed(job.pool),
        execution_timeout=timedelta(hours=job.hours),
        **options,
    )


def asking(name: str, shards: Any, after: Sequence[JobOperator]) -> JobOperator:
    """A job that asks the model: mapped over shards that answer, then run once to publish.

    shards: the XCom of `list_shards`; where it is empty the job does it all. after: what it reads from.
    """
    job = JOBS[name]
    mapped = JobOperator.partial(
        task_id=f"{name}_shards",
        job=name,
        doc_md=doc_of(name, shards=True),
        pool=job.pool,
        executor_config=placed(job.pool),
        execution_timeout=timedelta(hours=job.hours),
        map_index_template="{{ task.shard }}",
    ).expand(shard=shards)
    publish = night_job(name, trigger_rule="none_failed")
    list(after) >> mapped >> publish
    list(after) >> publish
    return publish


@task
def check_complete(jobs: list[str], ti: Any = None) -> None:
    """See whether the token budget was enough for every row.

    **When it is red** it was not: everything is published, the lists too, but its log names jobs some of
    whose rows wait to be asked about. Raise `budget_tokens` and *Clear* those jobs, or leave it.
    """
    told = [account for job in jobs for account in (ti.xcom_pull(task_ids=job) or {}).values()]
    if missing := sorted({account["incomplete"] for account in told if "incomplete" in account}):
        raise AirflowFailException("; ".join(missing))


@task
def list_shards(params: dict[str, Any] | None = None) -> list[str]:
    """Divide the requests of a night: `1/N` to `N/N`, or nothing where one task is to do it all.

    **When it is red**, Airflow itself is in trouble: this reads the parameter `shards` and nothing else.
    """
    count = (params or {}).get("shards", 1)
    return [f"{k}/{count}" for k in range(1, count + 1)] if count > 1 else []
