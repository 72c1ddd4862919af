"""Pictures: scales are round, text is escaped, the markup is well formed."""

from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from jobs.report import charts

EVIL = "</svg><script>alert('\"1')</script>"


def parsed(markup: Markup) -> ElementTree.Element:
    """The markup as XML, which fails on anything that is not closed or not escaped."""
    return ElementTree.fromstring(f"<body>{markup}</body>")


@pytest.mark.parametrize(
    ("largest", "marks"),
    [
        (0.113, [0, 0.05, 0.1, 0.15]),
        (1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (430, [0, 200, 400, 600]),
        (0, [0, 1]),
        (float("nan"), [0, 1]),
    ],
)
def test_ticks_are_round_and_reach_the_largest_value(largest: float, marks: list[float]) -> None:
    assert charts.ticks(largest) == pytest.approx(marks)


def test_estimates_put_point_and_whisker_on_one_scale() -> None:
    body = parsed(charts.estimates([charts.Estimate("Ranker", 0.5, 0.25, 1.0, strong=True)]))
    point = body.find(".//circle")
    assert point is not None
    assert point.get("cx") == "50.0%"
    whisker = next(line for line in body.iter("line") if line.get("class") == "whisker")
    assert (whisker.get("x1"), whisker.get("x2")) == ("25.0%", "100.0%")


def test_an_estimate_without_interval_has_no_whisker() -> None:
    body = parsed(charts.estimates([charts.Estimate("Ranker", 0.5, None, None)]))
    assert not [line for line in body.iter("line") if line.get("class") == "whisker"]


def test_bars_show_the_part_within_the_whole() -> None:
    body = parsed(charts.bars([charts.Bar("ALS", 0.5, "50%", part=0.25)], scaled_to=1.0))
    assert [rect.get("width") for rect in body.iter("rect")] == ["50.00%", "25.00%"]


def test_stacked_parts_lie_on_one_another() -> None:
    series = [charts.Series("a", [100.0, None]), charts.Series("b", [100.0, 50.0])]
    rects = list(parsed(charts.stacked(["7 Jan", "8 Jan"], series, "tokens")).iter("rect"))
    assert len(rects) == 3
    first, second = rects[0], rects[1]
    assert float(second.get("y", "")) + float(second.get("height", "")) == pytest.approx(
        float(first.get("y", "")), abs=0.11
    )
    assert "".join(first.itertext()) == "7 Jan, a: 100 tokens"


def test_a_night_without_value_breaks_the_line() -> None:
    nights = [str(n) for n in range(4)]
    body = parsed(charts.over_nights(nights, [charts.Series("a", [0.1, 0.2, None, 0.3])], "NDCG"))
    assert len([line for line in body.iter("line") if line.get("class") == "line s0"]) == 1
    assert len(list(body.iter("circle"))) == 3


def test_text_of_strangers_is_escaped_everywhere() -> None:
    one = charts.Series(EVIL, [1.0], [(0.5, 1.5)])
    for markup in (
        charts.estimates([charts.Estimate(EVIL, 0.5, 0.1, 0.9)]),
        charts.bars([charts.Bar(EVIL, 1.0, EVIL)]),
        charts.stacked([EVIL], [one], "tokens"),
        charts.over_nights([EVIL], [one], EVIL),
    ):
        assert "<script>" not in markup
        assert EVIL in "".join(parsed(markup).itertext())


def test_nothing_to_draw_is_drawn_without_error() -> None:
    for markup in (charts.estimates([]), charts.bars([]), charts.stacked([], [], "tokens")):
        parsed(markup)
