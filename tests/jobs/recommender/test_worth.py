import pytest

from jobs.recommender.ablation import Comparison
from jobs.recommender.metrics import Interval
from jobs.recommender.worth import verdict


def compared(variant, to, low, high, slice_="all"):
    return Comparison(variant, to, slice_, 0.2, 0.1, Interval((low + high) / 2, low, high), 50)


HELPS, HARMS = compared("group", "without", 0.01, 0.03), compared("group", "without", -0.03, -0.01)
WIDE, NOTHING = compared("group", "without", -0.02, 0.02), compared("group", "without", -0.0005, 0.0005)


BEYOND, NOT_BEYOND = compared("group", "placebo", 0.01, 0.03), compared("group", "placebo", -0.01, 0.03)
COLD = compared("group", "without", 0.01, 0.05, "cold")


@pytest.mark.parametrize(
    ("comparisons", "expected", "said"),
    [
        ([HELPS, BEYOND], "keep", "it helps: +0.0200 (+0.0100 to +0.0300) NDCG@10 over 50 users"),
        ([HELPS, NOT_BEYOND], "unsure", "hardly more than its placebo"),
        ([HELPS], "unsure", "hardly more than its placebo"),
        ([HARMS, BEYOND], "drop", "it harms"),
        ([WIDE, BEYOND], "unsure", "too wide"),
        ([NOTHING, BEYOND], "drop", "buys nothing"),
        ([WIDE, COLD, compared("group", "placebo", 0.01, 0.03, "cold")], "keep", "helps cold items"),
        ([WIDE, COLD, BEYOND], "unsure", "hardly more than its placebo"),
        ([HARMS, COLD], "drop", "it harms"),
        ([compared("group", "without", 0.0, 0.0)], "drop", "no list of 50 users is better or worse for it"),
        ([WIDE, compared("group", "without", 0.01, 0.05, "tail")], "unsure", "too wide"),
        ([HELPS, BEYOND, compared("group", "control", -0.05, -0.01)], "drop", "TF-IDF"),
        ([HELPS, BEYOND, compared("group", "control", -0.05, 0.01)], "keep", "it helps"),
        ([], "unsure", "nothing was taken"),
    ],
)
def test_verdicts(comparisons, expected, said):
    found = verdict(comparisons, worthwhile=0.001)
    assert found.verdict == expected
    assert said in found.reason
