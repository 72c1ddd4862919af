"""The one operator of these DAGs: it runs `nightmill <job> --ds <ds>` and nothing else."""

import os
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# A second try meets the same settings, the same data and the same budget.
FINAL_EXIT_CODES = {
    2: "wrong usage or settings",
    3: "a quality gate refused to publish",
    4: "the token budget is used up",
}


class JobOperator(BaseOperator):
    """Run one Nightmill job for the logical date of its DAG run.

    The command is a list of arguments handed to the operating system, never a shell string, so no value
    that Airflow renders can be more than one argument. Exit codes 2, 3 and 4 fail the task at once; any
    other failure is left to the task's retries.
    """

    template_fields = ("command",)

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = ["nightmill", job, "--ds", "{{ ds }}"]

    def execute(self, context: Context) -> None:
        """Run the command, its output in the task's log; raises AirflowException when it does not exit 0."""
        self.hook = SubprocessHook()
        # Unbuffered, so that the log shows the job's lines in the order and at the time they were written.
        result = self.hook.run_command(
            self.command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=os.getcwd()
        )
        if result.exit_code == 0:
            return
        said = f"`{' '.join(self.command)}` exited with {result.exit_code}"
        if reason := FINAL_EXIT_CODES.get(result.exit_code):
            raise AirflowFailException(f"{said} ({reason}) and is not tried again:\n{result.output}")
        raise AirflowException(f"{said}:\n{result.output}")

    def on_kill(self) -> None:
        """Stop the job when its task is stopped from the UI or times out."""
        self.hook.send_sigterm()
