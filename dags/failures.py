"""The last lines of a failed task's log: what failed, for which date, why, and what to do now.

Airflow logs the exception with its traceback first and calls back afterwards, so these lines come last. Where
a task's own process was killed nobody is left to write them there: the scheduler finds out, and the log of
the DAG's file has them instead.
"""

import json
import logging
import shlex
import signal
from collections.abc import Mapping
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout

log = logging.getLogger(__name__)

# A second try meets the same settings, the same data and the same budget.
OVER_BUDGET = 4
FINAL_EXIT_CODES = {
    2: "wrong usage or settings",
    3: "a quality gate refused to publish",
    OVER_BUDGET: "the token budget is used up, and too few rows have values to publish them",
}
NEXT = {
    2: "mend the setting or the parameter it names",
    3: "mend what the gate names; what was published before still stands, and the Data Docs have every check",
    OVER_BUDGET: "raise the parameter `budget_tokens`; what was answered is kept",
}
LONGEST = 1000  # characters of what a command said


def say_what_to_do(context: Mapping[str, Any]) -> None:
    """Log what failed, why, and the command to run next; for Airflow's callbacks on failure and on retry."""
    log.error("::endgroup::")  # ends what the UI folds away
    for line in explanation(context):
        log.error("%s", line)


def explanation(context: Mapping[str, Any]) -> list[str]:
    """Those lines, at most eight, each one line."""
    task, ti, error = context["task"], context["ti"], context.get("exception")
    code = task.result.exit_code if getattr(task, "result", None) else None
    said = " ".join((message_of(task.result.output) if code else str(error or "")).split())
    lines = [f"{_name(task)} failed for {_partition(context)}, try {ti.try_number} of {ti.max_tries + 1}"]
    lines += [f"reason: {_reason(code, error, task)}", f"it said: {said[:LONGEST] or 'nothing'}"]
    lines += [f"tried again: {_again(code, error, ti)}", f"next: {_next(code)}"]
    if command := getattr(task, "command", None):
        variables = task.environment
        if error is None:  # nothing was rendered in this process
            command, variables = task.render_template([command, variables], context)
        lines.append(f"command: {_by_hand(command, variables)}")
    lines.append(
        "then clear this task in its run: it goes on from there, and nothing is asked or published twice"
    )
    if ds := context.get("ds"):
        lines.append(f"more: {page('nightmill/data-docs/' if code == 3 else f'nightmill/night?ds={ds}')}")
    return lines


def message_of(line: str) -> str:
    """What a line of a job says: all of it, or with `[log] format = "json"` its message."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


def page(path: str) -> str:
    """The address of a page of Airflow's UI."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{path}"


def _name(task: Any) -> str:
    shard = getattr(task, "shard", "")
    return f"{task.task_id} (shard {shard})" if shard else str(task.task_id)


def _partition(context: Mapping[str, Any]) -> str:
    run = context["dag_run"].run_id
    return f"ds={context['ds']} (run {run})" if context.get("ds") else f"run {run}"


def _reason(code: int | None, error: BaseException | None, task: Any) -> str:
    if isinstance(error, AirflowTaskTimeout):
        return f"it ran longer than {task.execution_timeout} and was stopped"
    if error is None:
        return "its process was killed, or its machine was lost"
    if code is None:
        return type(error).__name__
    if code < 0:
        name = signal.Signals(-code).name
        memory = "; often the machine was short of memory" if -code == signal.SIGKILL else ""
        return f"{name} ended it{memory}"
    return f"{FINAL_EXIT_CODES.get(code, 'the command failed')} (exit code {code})"


def _again(code: int | None, error: BaseException | None, ti: Any) -> str:
    if code in FINAL_EXIT_CODES or isinstance(error, AirflowFailException | AirflowSensorTimeout):
        return "no, a second try would meet the same"
    left = ti.max_tries + 1 - ti.try_number
    return f"yes, by itself, {left} more times at most" if left > 0 else "no, that was the last try"


def _next(code: int | None) -> str:
    return NEXT.get(code or 0, "if no try is left, mend what it says, and see by hand whether it works")


def _by_hand(command: list[str], environment: Mapping[str, str]) -> str:
    """The command as a person types it into a shell."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in environment.items() if value]
    return " ".join([*variables, shlex.join(word for word in command if word)])
