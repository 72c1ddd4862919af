import pytest

from jobs.recommender.ablation import Comparison
from jobs.recommender.metrics import Interval
from jobs.recommender.worth import verdict


def compared(variant, to, low, high, slice_="all"):
    return Comparison(variant, to, slice_, 0.2, 0.1, Interval((low + high) / 2, low, high), 50)


HELPS, HARMS = compared("group", "without", 0.01, 0.03), compared("group", "without", -0.03, -0.01)
WIDE, NOTHING = compared("group", "without", -0.02, 0.02), compared("group", "without", -0.0005, 0.0005)


@pytest.mark.parametrize(
    ("comparisons", "expected", "said"),
    [
        ([HELPS], "keep", "it helps: +0.0200 (+0.0100 to +0.0300) NDCG@10 over 50 users"),
        ([HARMS], "drop", "it harms"),
        ([WIDE], "unsure", "too wide"),
        ([NOTHING], "drop", "buys nothing"),
        ([WIDE, compared("group", "without", 0.01, 0.05, "cold")], "keep", "helps cold items"),
        ([HARMS, compared("group", "without", 0.01, 0.05, "cold")], "drop", "it harms"),
        ([WIDE, compared("group", "without", 0.01, 0.05, "tail")], "unsure", "too wide"),
        ([HELPS, compared("group", "control", -0.05, -0.01)], "drop", "TF-IDF"),
        ([HELPS, compared("group", "control", -0.05, 0.01)], "keep", "it helps"),
        ([HELPS, compared("placebo", "without", 0.001, 0.01)], "unsure", "placebo"),
        ([HELPS, compared("placebo", "without", -0.001, 0.01)], "keep", "it helps"),
        ([], "unsure", "nothing was taken"),
    ],
)
def test_verdicts(comparisons, expected, said):
    found = verdict(comparisons, worthwhile=0.001)
    assert found.verdict == expected
    assert said in found.reason
