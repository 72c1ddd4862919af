"""Airflow's plugin: the note of a run says which prompts and models the run used.

The scheduler calls it when a run has ended. What was used is in the XCom of its jobs, which have it from
the manifests of what they published. A note that a person wrote stays.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

DAGS = {"nightly", "weekly_training"}
MARK = "Nightmill: "


def note(published: Iterable[Mapping[str, Mapping[str, Any]]]) -> str:
    """The note for what the jobs of a run published; empty where no model was asked for any of it."""
    accounts = [account for tables in published for account in tables.values() if "prompt_name" in account]
    prompts = sorted({f"{account['prompt_name']}/v{account['prompt_version']}" for account in accounts})
    models = sorted({_model(account) for account in accounts if "model_id" in account})
    return f"{MARK}{', '.join(prompts)}; asked {', '.join(models)}" if prompts else ""


def _model(account: Mapping[str, Any]) -> str:
    revision = account.get("model_revision")
    return f"{account['model_id']}@{revision}" if revision else str(account["model_id"])


class RunNotes:
    """Listens to runs that end."""

    @hookimpl
    def on_dag_run_success(self, dag_run: "DagRun", msg: str) -> None:
        """Note what a run that succeeded has used."""
        self.write(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: "DagRun", msg: str) -> None:
        """Note what a run has used before it failed."""
        self.write(dag_run)

    def write(self, dag_run: "DagRun") -> None:
        """Put the note beside the run, unless somebody has written one."""
        if dag_run.dag_id not in DAGS or not (dag_run.note or MARK).startswith(MARK):
            return
        if text := note(self.published(dag_run)):
            dag_run.note = text

    def published(self, dag_run: "DagRun") -> list[dict[str, dict[str, Any]]]:
        """What the jobs of a run told of the tables they published."""
        from airflow.models.xcom import XComModel
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None:
            return []
        told = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key="return_value")
        values = [XComModel.deserialize_value(row) for row in session.scalars(told)]
        return [value for value in values if isinstance(value, dict)]


class NightmillNotes(AirflowPlugin):
    """Registers the listener."""

    name = "nightmill_notes"
    listeners = [RunNotes()]  # noqa: RUF012
