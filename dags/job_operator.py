"""The operators of these DAGs: they run `nightmill ...`, and nothing else."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook, SubprocessResult
from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from connections import secrets_of_jobs
from failures import FINAL_EXIT_CODES, OVER_BUDGET, say_what_to_do
from job_metrics import emit
from lineage_parent import parent_of
from parameters import VARIABLES, flag, template
from published import in_words, published


class NightmillOperator(BaseOperator):
    """Run one `nightmill` command.

    The command is a list of arguments handed to the operating system, never a shell string, so no value
    that Airflow renders can be more than one argument or one variable's value. An argument or variable that
    is rendered empty is left out. Exit codes 2, 3 and 4 fail the task at once; any other failure is left to
    the task's retries. What to do then are the last lines of its log.
    """

    template_fields: tuple[str, ...] = ("command", "environment")
    overwrite_rtif_after_execution = True  # so that what was run is shown without what was left out

    def __init__(self, *, command: Sequence[str], **kwargs: Any) -> None:
        kwargs.setdefault("on_failure_callback", say_what_to_do)
        kwargs.setdefault("on_retry_callback", say_what_to_do)
        super().__init__(**kwargs)
        self.command = list(command)
        self.environment = {variable: template(name) for name, variable in VARIABLES.items()}
        self.hook: SubprocessHook | None = None
        self.result: SubprocessResult | None = None

    def execute(self, context: Context) -> Any:
        """Run the command, its output in the task's log; raises AirflowException when it does not exit 0."""
        self.before(context)
        self.command = [word for word in self.command if word]
        self.environment = {name: value for name, value in self.environment.items() if value}
        self.hook = SubprocessHook()
        os.environ.update(secrets_of_jobs())  # of this task's own process; not a field that the UI shows
        # Unbuffered, so that the log has the command's lines in the order and at the time they were written.
        environment = {**os.environ, **parent_of(context), **self.environment, "PYTHONUNBUFFERED": "1"}
        self.result = self.hook.run_command(self.command, env=environment, cwd=os.getcwd())
        code = self.result.exit_code
        if code != 0 and not self.is_enough(code):
            final = code in FINAL_EXIT_CODES
            raise (AirflowFailException if final else AirflowException)(
                f"`{' '.join(self.command)}` exited with {code}: {self.result.output}"
            )
        return self.after(context)

    def before(self, context: Context) -> None:
        """What has to be seen to before the command is run."""

    def after(self, context: Context) -> Any:
        """What is left to do once the command has succeeded; what it returns is the task's XCom."""

    def is_enough(self, code: int) -> bool:
        """Whether what waits for the task can go on although the command did not exit 0."""
        return False

    def on_kill(self) -> None:
        """Stop the command when its task is stopped from the UI or times out."""
        if self.hook is not None:
            self.hook.send_sigterm()


class JobOperator(NightmillOperator):
    """Run one job for the logical date of its DAG run: `nightmill <job> --ds <ds> [--shard k/N] ...`.

    shard: k/N; such a task answers its share of the requests and publishes nothing. writes: the tables the
    job publishes; each is an outlet, whose event says of which date and run it is, with how many rows, from
    which prompt and model. emits: further outlets, told when all of that is there. flags: more options.
    """

    def __init__(
        self,
        *,
        job: str,
        writes: Sequence[str] = (),
        emits: Sequence[Asset] = (),
        shard: str = "",
        flags: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        kwargs["outlets"] = [*map(table_asset, writes), *emits]
        command = ["nightmill", job, "--ds", "{{ ds | default('') }}", flag("reprocess"), *flags]
        super().__init__(command=[*command, *(["--shard", shard] if shard else [])], **kwargs)
        self.job, self.writes, self.emits, self.shard = job, tuple(writes), tuple(emits), shard
        self.began: datetime | None = None

    def before(self, context: Context) -> None:
        """Raise AirflowFailException when the day of the run is not over."""
        refuse_unfinished(context)
        self.began = datetime.now(UTC)

    def is_enough(self, code: int) -> bool:
        """Whether the budget was used up, but a shard did what it could or the job published what it had.

        As in `nightmill run` the night goes on with it; `check_complete` says so at its end.
        """
        if code != OVER_BUDGET:
            return False
        accounts = self.published(self.command[self.command.index("--ds") + 1]).values()
        return bool(self.shard) or any(self.is_new(account) for account in accounts)

    def is_new(self, account: Mapping[str, Any]) -> bool:
        """Whether a table was published by this task, with rows that wait to be asked about."""
        finished = datetime.fromisoformat(account["finished_at"])
        return "incomplete" in account and self.began is not None and finished >= self.began

    def published(self, ds: str) -> dict[str, dict[str, Any]]:
        """What is published of the job's tables, by table."""
        try:
            return published(self.writes, ds, self.environment)
        except Exception:  # the job is done, and whoever looks at the run learns a little less of it
            self.log.exception("The manifests of %s for %s cannot be read", self.job, ds)
            return {}

    def after(self, context: Context) -> dict[str, dict[str, Any]]:
        """Tell the log, the assets' events and XCom what is published now; by table."""
        ds = self.command[self.command.index("--ds") + 1]
        found = self.published(ds)
        if self.began and not self.shard:
            emit(self.job, ds, self.began, self.environment)
        for table, account in found.items():
            self.log.info("published %s", in_words(table, account))
            context["outlet_events"][table_asset(table)].extra = account
        for asset in self.emits:
            context["outlet_events"][asset].extra = {"ds": ds}
        return found


def table_asset(table: str) -> Asset:
    """The asset of a table, for DAGs that are scheduled on it."""
    return Asset(name=table, uri=f"nightmill://tables/{table}")


def refuse_unfinished(context: Mapping[str, Any]) -> None:
    """Raise AirflowFailException for a run without a logical date, or whose day had not ended at its start.

    Both dates are the scheduler's, so it does not matter what this machine takes for now. What such a night
    publishes would stay as it is, without the rest of its day.
    """
    run = context.get("dag_run")
    if run is None:
        return
    if run.logical_date is None:
        raise AirflowFailException(
            "the run has no logical date; trigger the DAG with the date whose events are to be read"
        )
    day = run.logical_date.astimezone(UTC).date()
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    if run.start_date is not None and run.start_date < end:
        raise AirflowFailException(
            f"the day {day} was not over when this run began; trigger it with an earlier logical date"
        )
