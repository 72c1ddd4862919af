"""The whole page over a small night whose texts are hostile."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.report import page
from jobs.report.categories import Categories, Proposed
from jobs.report.page import render, write

FIRST, SECOND = date(1998, 1, 7), date(1998, 1, 14)
EVIL = "<script>alert(1)</script>"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """Tags that are open, all text, and every attribute that could fetch something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def settings(publish: Callable[..., None], make_settings: Callable[..., Settings]) -> Settings:
    settings = make_settings(TIME__MODE="simulated")
    event = {
        "user_id": f"u{EVIL}",
        "item_id": "i1",
        "event_time": datetime(1998, 1, 6, tzinfo=UTC),
        "weight": 5,
    }
    model = {"model_id": "small-model", "model_revision": "abc", "prompt_name": "item_profile"}
    profile = {
        "item_id": "i2",
        "llm_tags": [f"tag{EVIL}"],
        "prompt_version": "1",
        "prompt_hash": "d00d",
        **model,
    }
    said = {"user_id": event["user_id"], "llm_summary": f"Likes {EVIL}", "llm_interests": ["drama"], **model}
    refused = [{"entity_id": "i3", "reason": "invalid_json", "detail": "no JSON", "raw": EVIL}]
    counts = {"requests": 5, "asked": 3, "cached": 2, "prompt_tokens": 900, "output_tokens": 120}
    listed = {
        "user_id": event["user_id"],
        "item_id": "i2",
        "rank": 1,
        "channels": ["als"],
        "stage": "candidates",
    }
    measured = {
        "evaluated_ds": FIRST,
        "slice": "all",
        "k": 10,
        "users": 40,
        "horizon_days": 7,
        "low": 0.05,
        "high": 0.2,
    }
    values = [
        {"stage": "candidates", "metric": "ndcg_at_k", "value": 0.15},
        {"stage": "als", "metric": "ndcg_at_k", "value": 0.1},
        {"stage": "candidates", "metric": "ndcg_at_k", "value": 0.05, "compared_to": "als"},
        {"stage": "als", "metric": "candidate_recall_at_n", "value": 0.4},
        {"stage": "als", "metric": "candidate_recall_gain_at_n", "value": 0.3},
    ]
    for ds in (FIRST, SECOND):
        items = [{"item_id": "i1", "title": f"One {EVIL}"}, {"item_id": "i2", "title": f"Two {EVIL}"}]
        publish(settings, "ingest", ds, {"interactions": [event], "items": items, "users": []})
        publish(settings, "profile_items", ds, {"item_profiles": [profile]}, counts, refused)
        publish(settings, "profile_users", ds, {"user_profiles": [said]})
        ranker = {"status": "fallback", "reason": "too little history", "features": ["als_score"]}
        publish(settings, "train_ranker", ds, {"rankers": [ranker]})
        publish(settings, "recommend", ds, {"recommendations": [listed]})
        rows = [measured | value for value in values] if ds == SECOND else []
        publish(settings, "evaluate", ds, {"evaluations": rows})
    return settings


def test_strangers_text_is_shown_and_never_executed(settings: Settings) -> None:
    html = render(Store(settings.data_root), SECOND, settings)
    outline = Outline(html)
    assert outline.open == []
    assert "script" not in outline.tags
    for text in (f"One {EVIL}", f"Two {EVIL}", f"tag{EVIL}", f"Likes {EVIL}", f"User u{EVIL}"):
        assert text in outline.text
    assert outline.text.count(EVIL) >= 6


def test_the_page_fetches_nothing(settings: Settings) -> None:
    html = render(Store(settings.data_root), SECOND, settings)
    assert Outline(html).fetched == ["data:,"]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_the_first_screen_answers(settings: Settings) -> None:
    text = " ".join(Outline(render(Store(settings.data_root), SECOND, settings)).text.split())
    assert "Better than the best single channel." in text
    assert "The model answered 3 of 5 questions" in text
    assert "too little history" in text
    assert "simulated time" in text
    assert "profile_items: invalid_json" in text
    assert "small-model" in text


def test_what_moved_is_drawn_with_the_night_it_is_compared_with(
    settings: Settings, publish: Callable[..., None]
) -> None:
    for ds, price in ((FIRST, 1.0), (SECOND, 9.0)):
        rows = [{"item_id": f"i{n}", "item_weight_mean_90d": price} for n in range(100)]
        publish(settings, "build_features", ds, {"item_features": rows})
    text = " ".join(Outline(render(Store(settings.data_root), SECOND, settings)).text.split())
    # everything left one bin for another: 2 * (1 - .005) * ln(1 / .005)
    assert "item_features: item_weight_mean_90d: 10.544, much" in text
    assert "against the night before (7 January 1998)" in text
    assert "What has moved" not in render(Store(settings.data_root), FIRST, settings)


def test_a_night_with_nothing_to_judge_has_a_report_too(settings: Settings) -> None:
    outline = Outline(render(Store(settings.data_root), FIRST, settings))
    assert outline.open == []
    assert "Too early to judge." in outline.text


def test_only_the_newest_night_is_report_html(settings: Settings) -> None:
    store = Store(settings.data_root)
    assert write(store, FIRST, settings) == settings.data_root / "reports" / "1998-01-07.html"
    assert not (settings.data_root / "report.html").exists()
    written = write(store, SECOND, settings).read_text("utf-8")
    assert (settings.data_root / "report.html").read_text("utf-8") == written


def test_endless_text_is_cut(publish: Callable[..., None], settings: Settings) -> None:
    items = [{"item_id": item, "title": "x" * 5000} for item in ("i1", "i2")]
    publish(settings, "ingest", SECOND, {"items": items, "users": []})
    html = render(Store(settings.data_root), SECOND, settings)
    assert "x" * 100 in html
    assert "x" * 121 not in html


def test_proposed_categories_are_shown_with_how_often_they_are_right(
    settings: Settings, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [Proposed(f"One {EVIL}", f"War {EVIL}", 0.9)]
    found = Categories(7, 2, 100, [("the vote", 90), ("the model", 19)], 0.83, shown)
    monkeypatch.setattr(page, "categories", lambda store, ds: found)
    outline = Outline(render(Store(settings.data_root), SECOND, settings))
    text = " ".join(outline.text.split())
    assert "7 items without a category have one" in text
    assert "at least 83% of such proposals are right. 2 items are left without." in text
    assert "named by the vote in 90%, the model in 19%." in text
    assert f"War {EVIL}" in outline.text
    assert "script" not in outline.tags


def test_no_users_are_shown_when_none_are_asked_for(settings: Settings) -> None:
    nobody = settings.model_copy(update={"report": settings.report.model_copy(update={"users": 0})})
    assert "Some users" not in render(Store(settings.data_root), SECOND, nobody)
