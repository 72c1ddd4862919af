"""Airflow's plugin: the report, the Data Docs and a night's accounts, one click from a run.

Airflow reads every file of this folder as a plugin (`AIRFLOW__CORE__PLUGINS_FOLDER`), in each task's process
too, so the pages themselves are imported only where they are served: in the api-server.
"""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/nightmill"
# Airflow fills in the braces; a link without a leading slash follows the path that Airflow is served under.
OF_A_RUN = "nightmill/run?dag_id={DAG_ID}&run_id={RUN_ID}"


def view(name: str, route: str, href: str, destination: str) -> dict[str, str]:
    """A page of Nightmill inside one of Airflow's."""
    return {"name": name, "url_route": route, "href": href, "destination": destination}


class NightmillPages(AirflowPlugin):
    """Pages under /nightmill/, and where Airflow's UI links to them."""

    name = "nightmill"
    external_views = [  # noqa: RUF012
        view("Report", "nightmill-report", "nightmill/report", "nav"),
        view("Data Docs", "nightmill-data-docs", "nightmill/data-docs/", "nav"),
        view("Tokens and cost", "nightmill-night", "nightmill/night", "nav"),
        view("Tokens and cost", "nightmill-run", OF_A_RUN, "dag_run"),
        view("Report", "nightmill-run-report", f"{OF_A_RUN}&page=report", "dag_run"),
        view("Data Docs", "nightmill-run-data-docs", "nightmill/data-docs/", "dag_run"),
        view("Tokens and cost", "nightmill-task", OF_A_RUN, "task_instance"),
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application that serves the pages."""
        from infra.airflow.pages.application import create_app

        return [{"name": "nightmill", "url_prefix": PREFIX, "app": create_app()}]
