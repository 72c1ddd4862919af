"""The judge of a night, as its manifest tells it."""

import json
from dataclasses import replace
from datetime import date

import pytest

from feature_store.partitions import Store
from jobs.report.judge import judge, picture

DS = date(2026, 1, 31)
SAID = {
    "judge_verdict": "knows something",
    "answers": 240,
    "answers_first_share": 0.9,
    "position_lean_log_odds": 2.5,
    "agreement_rate": 0.7,
    "checks": 40,
    "checks_agreed": 30,
    "judge_accuracy": 0.8,
    "judge_accuracy_low": 0.63,
    "judge_accuracy_high": 0.9,
}


@pytest.fixture
def store(make_settings, publish):
    """`store(provenance, confidences)`: a night with so many synthetic interactions."""

    def make(provenance, confidences=()):
        settings = make_settings()
        rows = [{"user_id": f"u{n}", "confidence": value} for n, value in enumerate(confidences)]
        publish(settings, "simulate_cold_start", DS, {"synthetic_interactions": rows})
        made = Store(settings.data_root)
        path = made.published("synthetic_interactions", DS).path / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"provenance": provenance}), "utf-8")
        return made

    return make


def test_what_the_checks_said(store):
    found = judge(store(SAID, [0.1, 0.15, 0.9]), DS)
    assert found.headline == "It does better than chance"
    assert (found.checks, found.agreed, found.accuracy, found.low, found.high) == (40, 30, 0.8, 0.63, 0.9)
    assert (found.first_share, found.lean, found.agreement) == (0.9, 2.5, 0.7)
    assert found.confidences == [0.1, 0.15, 0.9]


def test_a_night_on_which_nothing_was_asked_has_no_judge(store):
    assert judge(store({}), DS) is None
    assert judge(store({}), date(2026, 1, 30)) is None


def test_confidences_are_counted_in_five_parts(store):
    found = judge(store(SAID, [0.0, 0.1, 0.2, 1.0]), DS)
    drawn = str(picture(found))
    for label, count in (("0.0 to 0.2", 2), ("0.2 to 0.4", 1), ("0.4 to 0.6", 0), ("0.8 to 1.0", 1)):
        assert f"{label}: {count}" in drawn
    assert picture(replace(found, confidences=[])) is None
    assert picture(None) is None
