"""The pages of Nightmill in Airflow's api-server: the report, the Data Docs, what a night took and cost.

Nothing here is public: a visitor has to be logged in to Airflow, by the header or the cookie that its own
pages use, and to be allowed to see the DAG `nightly`. Nothing here changes anything either.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dagrun import DagRun
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from sqlalchemy import select
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.staticfiles import StaticFiles

from feature_store import data_docs
from feature_store.errors import NightmillError
from feature_store.partitions import Store
from feature_store.settings import Settings, load_settings
from infra.airflow.pages.night import NO_NIGHT, nights, render_message, render_night
from jobs.report.page import report_path

# Great Expectations' pages ask for scripts of six hosts; they would act with the visitor's rights in Airflow.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline' https:; font-src 'self' data: https:; "
    "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
NO_REPORT = (
    "The report is written by `evaluate`, the last task of a night: run one (in Airflow unpause `nightly` "
    "and trigger a run or a backfill; on the command line `nightmill run --ds DATE`), then come back."
)
NO_DOCS = "Each quality gate adds a page when a job is about to publish a table; no gate has run here yet."
LOG_IN = "Log in to Airflow first, in this browser, and then open this page again."


def configured() -> Settings:
    """The settings of the api-server's own process: the data root of the tasks it shows."""
    return load_settings()


Configured = Annotated[Settings, Depends(configured)]
visible_run = Depends(requires_access_dag("GET", DagAccessEntity.RUN))


def create_app() -> FastAPI:
    """The application that is mounted under /nightmill."""
    app = FastAPI(
        title="Nightmill",
        dependencies=[Depends(requires_access_dag("GET", param_dag_id="nightly"))],
        openapi_url=None,
    )
    app.get("/report")(report)
    app.get("/night")(night)
    app.get("/run", dependencies=[visible_run])(run)
    app.get("/data-docs/{path:path}")(documents)
    app.exception_handler(AnyHTTPException)(_refused)
    app.exception_handler(NightmillError)(_failed)
    return app


def report(settings: Configured, ds: date | None = None) -> Response:
    """The report of a night, of the newest where none is named."""
    return _report(settings, ds)


def night(settings: Configured, ds: date | None = None) -> Response:
    """Steps, tokens and cost of a night, of the newest where none is named."""
    return _night(settings, ds)


def run(
    settings: Configured,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    page: Literal["night", "report"] = "night",
) -> Response:
    """The night or the report of the logical date of a DAG run."""
    found = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if found is None:
        raise HTTPException(404, f"There is no run {run_id} of the DAG {dag_id}.")
    # A run that an asset started has no date of its own: it may touch any night.
    ds = found.logical_date.date() if found.logical_date else None
    return _report(settings, ds) if page == "report" else _night(settings, ds)


async def documents(settings: Configured, request: Request, path: str) -> Response:
    """A file of the Data Docs site."""
    root = settings.data_root.expanduser().resolve() / data_docs.FOLDER
    site = StaticFiles(directory=root, html=True, check_dir=False)
    try:
        answer = await site.get_response(path or ".", request.scope)
    except AnyHTTPException as error:
        if error.status_code != 404:
            raise
        said = f"There is no page {path} here." if (root / "index.html").exists() else NO_DOCS
        return _message("No such page" if path else "No Data Docs yet", said, 404)
    answer.headers.update(HEADERS)
    return answer


def _report(settings: Settings, ds: date | None) -> Response:
    store = Store(settings.data_root.expanduser().resolve())
    newest = store.root / "report.html"
    path = report_path(store, ds) if ds else newest
    if path.is_file():
        return _file(path)
    if newest.is_file():
        return _message(f"No report of {ds} yet", NO_REPORT, 404, {"report": "The newest report"})
    return _message("No report yet", NO_REPORT, 404)


def _night(settings: Settings, ds: date | None) -> Response:
    store = Store(settings.data_root.expanduser().resolve())
    known = nights(store)
    if not known:
        return _message("No night yet", NO_NIGHT, 404)
    return _html(render_night(store, ds or known[-1], known, settings))


def _file(path: Path) -> Response:
    return FileResponse(path, headers=HEADERS, media_type="text/html")


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, HEADERS)


def _message(title: str, text: str, status: int, links: dict[str, str] | None = None) -> Response:
    return _html(render_message(title, text, links or {}), status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    said = LOG_IN if error.status_code == 401 else str(error.detail)
    return _message(f"Not shown ({error.status_code})", said, error.status_code)


async def _failed(request: Request, error: Exception) -> Response:
    return _message("Nightmill cannot show this", str(error), 500)
