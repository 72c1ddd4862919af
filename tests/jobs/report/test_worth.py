"""Three groups: one that is worth its tokens, one that is not, one that nobody can tell."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.report.units import DASH, MINUS
from jobs.report.worth import by_slice, per_million, picture, price, worth

DS, WINDOW = date(1998, 1, 14), date(1998, 1, 7)
Publish = Callable[..., None]


def row(group: str, verdict: str, lift: float | None, **more: Any) -> dict[str, Any]:
    same = {"feature_group": group, "verdict": verdict, "reason": f"because of {group}", "window": WINDOW}
    ends = {} if lift is None else {"lift": lift, "low": lift - 0.001, "high": lift + 0.001}
    defaults = {"variant": "group", "compared_to": "without", "slice": "all", "users": 500}
    return same | ends | defaults | {"tokens": 2_000_000, "seconds": 90.0, "cost": 1.5} | more


ROWS = [
    row("item_text", "keep", 0.004, lift_per_million_tokens=0.002),
    row("item_text", "keep", 0.0003, variant="placebo"),
    row("item_text", "keep", 0.001, variant="control"),
    row("item_text", "keep", 0.01, slice="cold"),
    row("user_text", "drop", -0.003, lift_per_million_tokens=-0.0015),
    row("synthetic", "unsure", None, users=0, tokens=0),
    row("behaviour", "unsure", 0.05, tokens=0),
]


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


def test_groups_have_their_lifts_slice_by_slice(publish: Publish, settings: Settings) -> None:
    publish(settings, "ablate", DS, {"ablations": ROWS})
    found = worth(Store(settings.data_root), DS)
    assert found is not None
    assert (found.ds, found.window, found.users) == (DS, WINDOW, 500)
    assert [group.label for group in found.groups] == [
        "Behaviour",
        "Item text",
        "User text",
        "Synthetic samples",
    ]
    _, item, user, synthetic = found.groups
    assert by_slice(item) == [
        ("+0.0040", "+0.0030 to +0.0050"),
        ("+0.0100", "+0.0090 to +0.0110"),
        (DASH, ""),
    ]
    assert by_slice(synthetic) == [(DASH, "")] * 3
    assert [per_million(group) for group in found.groups] == [DASH, "+0.00200", f"{MINUS}0.00150", DASH]
    assert user.lift_per_million_tokens == -0.0015


def test_an_earlier_ablation_holds_until_there_is_a_newer_one(publish: Publish, settings: Settings) -> None:
    publish(settings, "ablate", WINDOW, {"ablations": ROWS[:1]})
    store = Store(settings.data_root)
    assert getattr(worth(store, DS), "ds", None) == WINDOW
    assert worth(store, date(1998, 1, 1)) is None


def test_the_picture_has_the_placebo_beside_the_group(publish: Publish, settings: Settings) -> None:
    publish(settings, "ablate", DS, {"ablations": ROWS})
    drawn = str(picture(worth(Store(settings.data_root), DS)))
    labels = ["Behaviour", "Item text", "its placebo", "TF-IDF in its place", "User text"]
    places = [drawn.index(f'<span class="label">{label}</span>') for label in labels]
    assert places == sorted(places)
    assert "Synthetic" not in drawn
    assert picture(None) is None


@pytest.mark.parametrize(
    ("verdicts", "answer", "headline"),
    [
        (["keep", "drop", "unsure"], "yes", "Worth it: item text."),
        (["drop", "drop", "unsure"], "unclear", "Not proven"),
        (["drop", "drop", "drop"], "no", "Nothing: the lists are no better"),
    ],
)
def test_page_one_says_whether_the_model_is_worth_its_tokens(
    publish: Publish, settings: Settings, verdicts: list[str], answer: str, headline: str
) -> None:
    groups = ("item_text", "user_text", "synthetic")
    # Behaviour costs no token: that it is worth having is no answer.
    rows = [row("behaviour", "keep", 0.05, tokens=0)]
    rows += [row(group, verdict, 0.001) for group, verdict in zip(groups, verdicts, strict=True)]
    publish(settings, "ablate", DS, {"ablations": rows})
    found = price(worth(Store(settings.data_root), DS), DS)
    assert found.answer == answer
    assert found.headline.startswith(headline)
    assert "500 users" in found.sentences[0]
    kept = "2 M" if "keep" in verdicts else "0"
    assert found.sentences[-1] == f"6 M tokens went into them, {kept} of these into what is kept."


def test_groups_that_could_not_be_measured_are_named_apart(publish: Publish, settings: Settings) -> None:
    rows = [row("item_text", "unsure", 0.001), row("synthetic", "unsure", None, users=0)]
    publish(settings, "ablate", DS, {"ablations": rows})
    found = price(worth(Store(settings.data_root), DS), DS)
    assert found.sentences[1] == "Too close to call: item text. Nothing to measure: synthetic samples."


def test_without_an_ablation_it_says_what_to_run() -> None:
    found = price(None, DS)
    assert found.answer == "early"
    assert "nightmill ablate --ds 1998-01-14" in found.sentences[0]


def test_too_little_history_is_the_reason_that_is_given(publish: Publish, settings: Settings) -> None:
    lacking = row("item_text", "unsure", None, users=0) | {"reason": "there is 1 label window"}
    publish(settings, "ablate", DS, {"ablations": [lacking]})
    found = price(worth(Store(settings.data_root), DS), DS)
    assert found.answer == "unclear"
    assert found.sentences[0] == "As of 14 January 1998: there is 1 label window."
