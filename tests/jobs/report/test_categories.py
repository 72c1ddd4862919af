"""What the report says of categories that were proposed."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.night import Night
from jobs.report.accounts import sources
from jobs.report.categories import Proposed, categories
from jobs.step import Job, execute

from ..conftest import Rows, as_table

DS = date(1998, 1, 7)
TABLE = "item_categories_proposed"
CHECKS = {
    "items": 100,
    "most_common_right": 40,
    "vote": {"right": 90, "bar": {"low": 0.8399}},
    "published": "vote",
}


@pytest.fixture
def night(make_settings: Callable[..., Settings], publish: Callable[..., None]) -> Callable[..., Store]:
    """`night(rows, checks)`: a night that proposed these rows after these checks."""

    def make(rows: Rows, checks: Mapping[str, Any]) -> Store:
        settings = make_settings()
        items = [{"item_id": f"i{n}", "title": f"Film {n}"} for n in range(30)]
        publish(settings, "ingest", DS, {"items": items})

        def run(night: Night) -> None:
            night.write(TABLE, as_table(TABLE, rows))
            night.provenance.update({"category_checks": checks} if checks else {})
            night.count(withheld=5)

        execute(Job(TABLES[TABLE].job, "by hand", (), (TABLE,), run), DS, settings)
        return Store(settings.data_root)

    return make


def proposed(number: int, confidence: float) -> dict[str, Any]:
    return {
        "item_id": f"i{number}",
        "llm_category": "War",
        "confidence": confidence,
        "source": "vote",
        "model_id": "mini",
    }


def test_the_surest_are_shown_and_who_is_right_how_often(night: Callable[..., Store]) -> None:
    store = night([proposed(n, n / 20) for n in range(12)], CHECKS)
    found = categories(store, DS)
    assert found is not None
    assert (found.count, found.withheld, found.checks) == (12, 5, 100)
    assert found.right == [("the vote", 90), ("always the most common category", 40)]
    assert found.low == 0.83  # never more than was shown
    assert len(found.shown) == 10
    assert found.shown[0] == Proposed("Film 11", "War", 0.55)


def test_a_night_that_was_sure_of_nothing(night: Callable[..., Store]) -> None:
    store = night([], CHECKS | {"published": "none", "model": {"right": 95, "bar": None}})
    found = categories(store, DS)
    assert found is not None
    assert (found.count, found.low, found.shown) == (0, None, [])
    assert found.right[0] == ("the model", 95)


def test_a_night_without_anything_to_propose_is_not_mentioned(night: Callable[..., Store]) -> None:
    assert categories(night([], {}), DS) is None
    assert categories(night([], {}), date(1998, 1, 8)) is None


def test_a_vote_has_no_prompt(night: Callable[..., Store]) -> None:
    (source,) = sources(night([proposed(1, 0.9)], CHECKS), DS)
    assert (source.table, source.model_id, source.prompt) == (TABLE, "mini", "")
