"""Pictures about zero: where zero is, and that nothing leaves the frame."""

import re

import pytest

from jobs.report import signed
from jobs.report.charts import Estimate
from jobs.report.signed import Point, Scale
from jobs.report.units import MINUS


def test_a_scale_holds_zero_and_every_value() -> None:
    assert Scale.over([0.03, -0.012]).marks == pytest.approx([-0.02, -0.01, 0.0, 0.01, 0.02, 0.03])
    assert Scale.over([0.03]).marks[0] == 0
    assert Scale.over([-0.03]).marks[-1] > 0
    assert Scale.over([]).at(0.0) == 0


@pytest.mark.parametrize("values", [[0.0], [1e-9, -1e-9], [5.0, -0.1], [-3.0], [0.4, 0.4]])
def test_values_lie_between_the_ends(values: list[float]) -> None:
    scale = Scale.over(values)
    assert scale.marks[0] <= min([*values, 0.0])
    assert scale.marks[-1] >= max([*values, 0.0])
    assert all(0 <= scale.at(value) <= 1 for value in values)


def test_a_row_has_its_number_its_interval_and_the_line_of_zero() -> None:
    drawn = str(
        signed.estimates([Estimate("A <b>", 0.01, -0.02, 0.04, True), Estimate("B", -0.01, None, None)])
    )
    assert "A &lt;b&gt;" in drawn
    assert f"<b>+0.0100</b> <small>{MINUS}0.0200 to +0.0400</small>" in drawn
    assert drawn.count('class="zero"') == 2
    assert drawn.count("whisker") == 3


def test_points_of_a_scatter_stay_in_the_frame_and_have_names() -> None:
    points = [Point("Low <i>", 0.0, -1.0), Point("High", 1.0, 1.0)]
    drawn = str(signed.scatter(points, "across", "up"))
    assert "Low &lt;i&gt;" in drawn
    places = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)%" cy="([\d.-]+)"', drawn)]
    assert all(0 <= x <= 100 and 0 <= y <= signed.SIZE for x, y in places)
    # The name of the point at the right end stands to its left.
    assert 'dx="-8"' in drawn
