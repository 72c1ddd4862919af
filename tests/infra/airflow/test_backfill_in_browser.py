"""What a person on call does in Airflow's UI: a backfill by its form, the way to the report, a red task's log.

Airflow is the one of `make airflow`, the jobs are the real ones without a model (warm_command.py), the browser
is Debian's chromium. The pictures stay in the folder that NIGHTMILL_SCREENSHOTS names, else in pytest's.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, sync_playwright

from feature_store.partitions import Store, read
from feature_store.settings import REPOSITORY
from feature_store.tables import TABLES
from infra.airflow.api import AirflowApi
from jobs.night import OF_A_RUN
from tests.infra.airflow.made_shop import write_shop
from tests.infra.airflow.warm_command import warm_command

pytestmark = [pytest.mark.airflow, pytest.mark.spark, pytest.mark.timeout(1500)]

DATES = [date(1998, 1, 6) + timedelta(days=n) for n in range(6)]
FORM, HALF, RED = DATES[:5], DATES[4:], date(1998, 1, 12)
PATIENCE = 900.0  # a machine that does other things too
# A night of the shop learns from the nights before it, and is judged by the next.
SETTINGS = {
    "GENERATION__ENGINE": "fake",
    "PROFILES__ITEM_MIN_EVENTS": "5",
    "ALIGNMENT__PASSES": "3",
    "RANKER__HORIZON_DAYS": "1",
    "RANKER__WINDOWS": "2",
    "RANKER__MIN_GROUPS": "5",
    "RANKER__MIN_DATA_IN_LEAF": "5",
    "RANKER__ROUNDS": "20",
    "RANKER__TRIALS": "0",
    "EVALUATE__HORIZON_DAYS": "1",
    "SPARK__SHUFFLE_PARTITIONS": "1",
}
CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@dataclass
class Shop:
    """A made shop, the warm command on it, and its two data roots: Airflow's and the command line's."""

    python: Path
    variables: dict[str, str]
    root: Path
    by_hand: Path

    def nightmill(self, *arguments: str, root: Path | None = None) -> str:
        """Run the command in a data root; returns what it said."""
        variables = os.environ | self.variables | {"NIGHTMILL_DATA": str(root or self.root)}
        command = [str(self.python.with_name("nightmill")), *arguments]
        done = subprocess.run(
            command, env=variables, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tables(self, root: Path, dates: list[date]) -> dict[tuple[str, date], pa.Table]:
        """What the published partitions of the dates say, whichever run wrote them."""
        store, found = Store(root), {}
        for table in TABLES:
            for partition in (p for p in store.partitions(table) if p.ds in dates):
                rows = read(table, partition.files)
                found[table, partition.ds] = rows.drop_columns(
                    [name for name in OF_A_RUN if name in rows.column_names]
                )
        return found

    def check_same(self, dates: list[date]) -> None:
        """Both data roots say the same of the dates."""
        ours, wanted = self.tables(self.root, dates), self.tables(self.by_hand, dates)
        assert ours.keys() == wanted.keys()
        assert [key for key in wanted if not ours[key].equals(wanted[key])] == []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, its nights published in order by `nightmill backfill` in the data root `by_hand`."""
    folder = tmp_path_factory.mktemp("shop")
    location = str(write_shop(folder / "source"))
    variables = {f"NIGHTMILL_{name}": value for name, value in SETTINGS.items()}
    variables |= {
        "NIGHTMILL_SOURCE__LOCATION": location,
        "OMP_NUM_THREADS": "1",
        # The shop has no yesterday.
        "_NIGHTMILL_LAST_NIGHT": "1998-02-01",
    }
    with warm_command(folder / "environment", variables) as python:
        made = Shop(python, variables, folder / "data", folder / "by-hand")
        made.nightmill("backfill", "--from", str(DATES[0]), "--to", str(DATES[-1]), root=made.by_hand)
        yield made


@dataclass
class Served:
    """`make airflow` and a client of it."""

    url: str
    api: AirflowApi

    def backfill(self, dates: list[date], **more: Any) -> None:
        """What the form's button calls."""
        body = {
            "dag_id": "nightly",
            "from_date": f"{dates[0]}T00:00:00Z",
            "to_date": f"{dates[-1]}T00:00:00Z",
        }
        self.api.call("POST", "backfills", body | more)

    def runs(self, dag: str = "nightly") -> dict[str, dict[str, Any]]:
        """The runs of a DAG by their dates, or by their ids where they have none."""
        found = self.api.call("GET", f"dags/{dag}/dagRuns", limit=100)["dag_runs"]
        return {(run["logical_date"] or run["dag_run_id"])[:10]: run for run in found}

    def wait(self, done: Callable[[], bool]) -> None:
        """Until something is so; an error names the first task that failed instead."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            for run in self.runs().values():
                assert run["state"] != "failed", self.failure(run["dag_run_id"])
            assert time.monotonic() < deadline, {day: run["state"] for day, run in self.runs().items()}
            time.sleep(1.0)

    def failure(self, run: str) -> str:
        """The end of the log of a run's failed task."""
        failed = next(task for task in self.api.tasks(run) if task.state == "failed")
        return "\n".join(self.api.log(run, failed.name, failed.tries)[-20:])

    def settled(self, dates: list[date]) -> bool:
        """Whether the nights are published, and what had to be renewed after them is."""
        runs = self.runs()
        if not all(runs.get(str(ds), {}).get("state") == "success" for ds in dates):
            return False
        told = max(run["end_date"] for run in runs.values())
        renewals = self.api.call("GET", "dags/renewal/dagRuns", limit=100)["dag_runs"]
        return all(run["state"] == "success" for run in renewals) and any(
            run["end_date"] > told for run in renewals
        )


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[Served]:
    """`make airflow` on the shop; afterwards it ends as it does for Ctrl-C."""
    process = subprocess.Popen(
        [str(shop.python), "-m", "infra.airflow.serve"],
        cwd=REPOSITORY,
        env=os.environ | shop.variables | {"NIGHTMILL_DATA": str(shop.root)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said: list[str] = []
    ready = None
    while ready is None and (line := process.stdout.readline()):
        said.append(line)
        ready = re.match(r"(http://127\.0\.0\.1:\d+)/dags/nightly is ready", line)
    try:
        assert ready, "".join(said)
        with AirflowApi(ready[1]) as api:
            api.wait_until_ready(lambda: None)
            yield Served(ready[1], api)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go; pytest -s says it."""
    named = os.environ.get("NIGHTMILL_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots: {folder}")
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A tab of the browser."""
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def pick(page: Page, place: int, day: date) -> None:
    """Fill in one of the form's dates."""
    page.get_by_test_id("datetime-input").nth(place).click()
    page.get_by_placeholder("YYYY/MM/DD").fill(day.strftime("%Y/%m/%d"))
    page.keyboard.press("Escape")
    page.get_by_placeholder("YYYY/MM/DD").wait_for(state="hidden")


def test_five_days_backwards_by_the_form_where_one_is_there(
    shop: Shop, served: Served, page: Page, pictures: Path
) -> None:
    shop.nightmill("run", "--ds", str(FORM[2]))
    page.goto(f"{served.url}/dags/nightly")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text("Run this Dag for a range of dates").click()
    pick(page, 0, FORM[0])
    pick(page, 1, FORM[-1])
    page.get_by_text("Missing and Errored Runs").click()
    page.get_by_label("Max Active Runs").fill("3")
    page.get_by_text("Run Backwards").click()
    page.screenshot(path=pictures / "1-form.png")
    page.get_by_role("button", name="Run Backfill").click()
    served.wait(lambda: len(served.runs()) == len(FORM))
    page.screenshot(path=pictures / "2-running.png")
    served.wait(lambda: served.settled(FORM))
    page.goto(f"{served.url}/dags/nightly/backfills")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "3-green.png")
    shop.check_same(FORM)


def test_the_run_leads_to_its_tokens_and_its_report(served: Served, page: Page, pictures: Path) -> None:
    run = served.runs()[str(FORM[-1])]["dag_run_id"]
    page.goto(f"{served.url}/dags/nightly/runs/{run}")
    for number, (tab, said) in enumerate(
        (
            ("Tokens and cost", "profile_user v2"),
            ("Report", "Night of 10 January 1998"),
            ("Data Docs", "Quality gates"),
        ),
        start=4,
    ):
        page.get_by_role("tab", name=tab).or_(page.get_by_role("link", name=tab, exact=True)).first.click()
        shown = page.frame_locator(f"iframe[title='{tab}']")
        shown.get_by_text(said).first.wait_for()
        page.screenshot(path=pictures / f"{number}-{tab.lower().replace(' ', '-')}.png")


def test_again_with_reprocess_over_a_range_that_half_exists(shop: Shop, served: Served) -> None:
    before = Store(shop.root).published("recommendations", HALF[0])
    assert before is not None
    served.backfill(HALF, max_active_runs=2, reprocess_behavior="completed", dag_run_conf={"reprocess": True})
    served.wait(lambda: str(HALF[1]) in served.runs() and served.settled(DATES))
    after = Store(shop.root).published("recommendations", HALF[0])
    assert after is not None
    assert after.run_id != before.run_id
    shop.check_same(DATES)


def test_what_a_gate_refused_can_be_read_at_the_end_of_the_log(
    shop: Shop, served: Served, page: Page, pictures: Path
) -> None:
    shop.nightmill("ingest", "--ds", str(RED))
    items = Store(shop.root).published("items", RED)
    assert items is not None
    rows = pq.read_table(items.files[0])
    planted = pc.cast(pa.repeat(-1.0, len(rows)), rows.schema.field("price").type)
    place = rows.schema.get_field_index("price")
    pq.write_table(rows.set_column(place, rows.schema.field(place), planted), items.files[0])
    run = served.api.start(RED)
    deadline = time.monotonic() + PATIENCE
    while served.api.state(run) != "failed":
        assert time.monotonic() < deadline
        time.sleep(1.0)
    end = "\n".join(served.api.log(run, "build_features", 1)[-10:])
    assert "item_price" in end
    assert "a quality gate refused to publish" in end
    assert f"nightmill build_features --ds {RED}" in end
    page.goto(f"{served.url}/dags/nightly/runs/{run}/tasks/build_features")
    page.get_by_text("nightmill build_features --ds").last.wait_for()
    page.screenshot(path=pictures / "7-refused.png")
    page.goto(f"{served.url}/nightmill/night?ds={RED}")
    page.get_by_text("Refused at a quality gate").wait_for()
    page.screenshot(path=pictures / "8-refused-night.png")
