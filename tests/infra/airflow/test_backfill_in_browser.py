"""What a person on call does in Airflow's UI: a backfill by its form, the way to the report, a red task.

Airflow is the one of `make airflow`, the jobs are the real ones without a model (warm_command.py), the
browser is Debian's chromium. The pictures stay in the folder that SCREENSHOTS names, else in a
temporary one.
"""

import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, sync_playwright

from feature_store.partitions import Store
from tests.infra.airflow.served import DATES, PATIENCE, Served, Shop

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]

RED = date(1998, 1, 12)
CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go; pytest -s says it."""
    named = os.environ.get("SCREENSHOTS")
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
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def last_picture(request: pytest.FixtureRequest, pictures: Path) -> Iterator[None]:
    """What the browser shows at the end of a test, also of one that failed."""
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").screenshot(path=pictures / f"last-{request.node.name}.png")


def pick(page: Page, place: int, day: date) -> None:
    """Fill in one of the form's dates."""
    page.get_by_test_id("datetime-input").nth(place).click()
    page.get_by_placeholder("YYYY/MM/DD").fill(day.strftime("%Y/%m/%d"))
    page.keyboard.press("Escape")
    page.get_by_placeholder("YYYY/MM/DD").wait_for(state="hidden")


def test_five_days_backwards_by_the_form_where_one_is_there(
    shop: Shop, served: Served, page: Page, pictures: Path
) -> None:
    shop.nightmill("run", "--ds", str(DATES[2]))
    page.goto(f"{served.url}/dags/nightly")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text("Run this Dag for a range of dates").click()
    pick(page, 0, DATES[0])
    pick(page, 1, DATES[-1])
    page.get_by_text("Missing and Errored Runs").click()
    page.locator("input[name=max_active_runs]").fill("3")
    page.get_by_text("Run Backwards").click()
    page.screenshot(path=pictures / "1-form.png")
    page.get_by_role("button", name="Run Backfill").click()
    served.wait(DATES, lambda: len(served.runs()) == len(DATES))
    served.wait(DATES, lambda: any(run["state"] == "success" for run in served.runs().values()))
    page.screenshot(path=pictures / "2-running.png")
    served.wait(DATES, lambda: served.settled(DATES))
    page.goto(f"{served.url}/dags/nightly/backfills")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "3-green.png")
    shop.check_same(DATES)


def test_the_run_leads_to_its_tokens_and_its_report(served: Served, page: Page, pictures: Path) -> None:
    run = served.runs()[str(DATES[-1])]["dag_run_id"]
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


def test_again_with_reprocess_every_job_runs_and_nothing_changes(shop: Shop, served: Served) -> None:
    before = runs_of_last_night(shop)
    served.backfill(DATES[-1:], reprocess_behavior="completed", dag_run_conf={"reprocess": True})
    served.wait(DATES, lambda: runs_of_last_night(shop)["evaluations"] != before["evaluations"])
    served.wait(DATES, lambda: served.settled(DATES))
    after = runs_of_last_night(shop)
    assert [table for table in before if after[table] == before[table]] == []
    shop.check_same(DATES)


def runs_of_last_night(shop: Shop) -> dict[str, str]:
    """The run that is published of one table of each kind of job."""
    found = {}
    for table in ("items", "user_profiles", "item_features", "recommendations", "evaluations"):
        partition = Store(shop.root).published(table, DATES[-1])
        assert partition is not None
        found[table] = partition.run_id
    return found


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
    red = next(task for task in served.api.tasks(run) if task.state == "failed")
    assert (red.name, red.tries) == ("build_features", 1)
    end = "\n".join(served.api.log(run, red.name, red.tries)[-10:])
    assert "item_price" in end
    assert "a quality gate refused to publish" in end
    assert f"nightmill build_features --ds {RED}" in end
    page.goto(f"{served.url}/dags/nightly/runs/{run}/tasks/build_features")
    page.get_by_text("nightmill build_features --ds").last.wait_for()
    page.screenshot(path=pictures / "7-refused.png")
    page.goto(f"{served.url}/nightmill/night?ds={RED}")
    page.get_by_text("Refused at a quality gate").wait_for()
    page.screenshot(path=pictures / "8-refused-night.png")
