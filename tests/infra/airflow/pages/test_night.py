"""A night as a page: what its manifests, its ledger and its gates say, and nothing that could run."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest

from feature_store import data_docs
from feature_store.partitions import MANIFEST, Store
from feature_store.settings import Settings
from infra.airflow.pages.night import nights, published_steps, render_message, render_night
from jobs.llm.ledger import Entry, Ledger

DS = date(1998, 1, 8)
COUNTS = {"requests": 10, "asked": 4, "cached": 6, "prompt_tokens": 2000, "cached_tokens": 500}


@pytest.fixture
def store(two_nights: Callable[[Mapping[str, int]], Store]) -> Store:
    """ingest and profile_items of 1998-01-07 and 08."""
    return two_nights(COUNTS | {"output_tokens": 100})


def entry(run_id: str, read: int, written: int) -> Entry:
    return Entry(
        "1998-01-08",
        "profile_items",
        run_id,
        "profile_item",
        "model",
        "fake",
        asked=1,
        prompt_tokens=read,
        output_tokens=written,
    )


def page(store: Store, settings: Settings, ds: date = DS) -> str:
    return render_night(store, ds, nights(store), settings)


def test_the_nights_are_those_with_a_table_of_their_own(store: Store) -> None:
    assert nights(store) == [date(1998, 1, 7), DS]  # not the 6th, whose events the 7th brought


def test_steps_come_in_the_order_of_the_chain_with_their_amounts(store: Store) -> None:
    ingest, profiles = published_steps(store, DS)
    assert (ingest.row.job, ingest.prompt) == ("ingest", "")
    assert (profiles.row.job, profiles.row.asked, profiles.row.prompt_tokens) == ("profile_items", 4, 2000)


def test_a_step_names_the_prompt_and_the_model_of_its_run(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    said = {"prompt_name": "profile_item", "prompt_version": "3", "prompt_hash": "abc", "model_id": "small"}
    published = store.published("item_profiles", DS)
    assert published is not None
    (published.path / MANIFEST).write_text(json.dumps(published.manifest | {"provenance": said}))
    step = published_steps(store, DS)[1]
    assert (step.prompt, step.model, step.revision) == ("profile_item v3", "small", "")
    assert 'title="abc">profile_item v3</td>' in page(store, make_settings())


def test_cost_counts_every_run_of_the_night_and_needs_a_price(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    ledger = Ledger(store.root)
    ledger.write(entry("failed", 1_000_000, 0))
    ledger.write(entry("published", 2_000_000, 500_000))
    assert "no price set" in page(store, make_settings())
    priced = make_settings(GENERATION__PRICE__READ="2", GENERATION__PRICE__WRITTEN="4")
    # 3 million read at 2, half a million written at 4
    assert "8.00<small>USD</small>" in page(store, priced)
    assert "3.5 M" in page(store, priced)


def test_what_a_gate_refused_is_shown_and_harmless(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    check = data_docs.Check("items", DS, "run", 4, failures=["title <script>alert(1)</script> is null"])
    check.page = "validations/items/1998-01-08-run/page.html"
    data_docs.record(store.root, check)
    data_docs.record(
        store.root, data_docs.Check("users", date(1998, 1, 7), "run", 4, failures=["of the night before"])
    )
    shown = page(store, make_settings())
    assert "title &lt;script&gt;alert(1)&lt;/script&gt; is null" in shown
    assert 'href="data-docs/validations/items/1998-01-08-run/page.html"' in shown
    assert "of the night before" not in shown


def test_a_night_that_has_not_run_says_what_to_run(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    shown = page(store, make_settings(), date(1998, 1, 9))
    assert "Nothing is published for 1998-01-09 yet" in shown
    assert "<code>nightmill run --ds 1998-01-09</code>" in shown
    assert 'href="night?ds=1998-01-08"' in shown


def test_only_a_report_that_exists_is_linked(store: Store, make_settings: Callable[..., Settings]) -> None:
    link = 'href="report?ds=1998-01-08"'
    assert link not in page(store, make_settings())
    (store.root / "reports").mkdir()
    (store.root / "reports" / "1998-01-08.html").write_text("<p>")
    assert link in page(store, make_settings())


def test_a_message_is_text(tmp_path: Path) -> None:
    assert "<p>&lt;b&gt;</p>" in render_message("title", "<b>", {})
