"""What a judge's answers to known questions make of its margins."""

import math

import pytest

from jobs.llm.calibration import calibrate, fit_slope, wilson
from jobs.llm.preference import Preference


def answered(*margins: float, agree: bool = True) -> list[Preference]:
    return [Preference(margin, 0.5, 0.0, agree) for margin in margins]


def test_an_oracle_is_nearly_sure_and_the_more_so_the_more_it_was_asked() -> None:
    # 8 of 8 at one margin: P(right) is the smoothed 9/10; 98 of 98: 99/100
    assert calibrate(answered(*[2.0] * 8)).confidence(2.0) == pytest.approx(0.8)
    assert calibrate(answered(*[2.0] * 98)).confidence(-2.0) == pytest.approx(0.98)


def test_at_one_margin_the_confidence_is_that_of_the_share_that_was_right() -> None:
    # 45 of 58 right, targets 59/60: P = (45 * 59 + 13 * 1) / 60 / 58
    found = calibrate(answered(*[1.5] * 45, *[-1.5] * 13))
    assert found.confidence(1.5) == pytest.approx(2 * (45 * 59 + 13) / 60 / 58 - 1)
    assert (found.accuracy, found.verdict) == (45 / 58, "knows something")


def test_a_smaller_margin_is_less_certain_and_none_is_a_coin() -> None:
    found = calibrate(answered(*[2.0] * 30, -0.1))
    assert 1 > found.confidence(4.0) > found.confidence(1.0) > found.confidence(0.1) > 0
    assert found.confidence(0.0) == 0


@pytest.mark.parametrize(
    "margins", [[1.0, -1.0] * 20, [-3.0] * 40, [1.0] * 3], ids=["a coin", "always wrong", "three are few"]
)
def test_a_judge_not_better_than_chance_with_confidence_has_no_say(margins: list[float]) -> None:
    found = calibrate(answered(*margins))
    assert found.verdict == "knows nothing"
    assert [found.confidence(margin) for margin in (0.1, 1.0, 100.0)] == [0, 0, 0]


def test_orders_that_disagree_are_no_answer() -> None:
    found = calibrate([*answered(*[1.0] * 9), *answered(*[-9.0] * 40, agree=False)])
    assert (found.checks, found.agreed, found.right) == (49, 9, 9)
    assert found.verdict == "knows something"


def test_nobody_asked_is_nobody_checked() -> None:
    found = calibrate([])
    assert (found.verdict, found.accuracy, found.slope, found.confidence(9.0)) == ("not checked", None, 0, 0)
    assert calibrate(answered(1.0, agree=False)).verdict == "knows nothing"


def test_the_slope_is_that_of_the_best_fit() -> None:
    # one margin of 1, 1 of 1 right: the target 2/3 is log 2
    assert fit_slope([1.0]) == pytest.approx(math.log(2))
    assert fit_slope([0.5]) == pytest.approx(2 * math.log(2))
    assert fit_slope([-1.0]) == fit_slope([]) == fit_slope([0.0]) == 0


def test_wilson_of_a_half_and_of_everything() -> None:
    # 20 of 40: 0.5 +- z / 2 / sqrt(40 + z * z); 4 of 4: z * z / (4 + z * z) is as far from 1 as it goes
    z = 1.959964
    assert wilson(20, 40) == pytest.approx(
        (0.5 - z / 2 / math.sqrt(40 + z * z), 0.5 + z / 2 / math.sqrt(40 + z * z))
    )
    assert wilson(4, 4) == pytest.approx((4 / (4 + z * z), 1.0))
    assert wilson(0, 0) == (0.0, 1.0)
