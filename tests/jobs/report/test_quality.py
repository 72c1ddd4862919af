"""What an evaluation says, out of a few measures."""

from datetime import date

from jobs.report import quality
from jobs.report.evidence import Evaluation, Measure


def measure(stage: str, metric: str, value: float, k: int = 10, part: str = "all", to: str = "") -> Measure:
    return Measure(stage, metric, k, to, value, value - 0.01, value + 0.01, 40, part)


FOUND = Evaluation(
    date(1998, 1, 14),
    date(1998, 1, 7),
    7,
    (
        measure("ranker", "ndcg_at_k", 0.12),
        measure("als", "ndcg_at_k", 0.1),
        measure("ranker", "ndcg_at_k", 0.02, to="als"),
        measure("ranker", "ndcg_at_k", 0.05, part="cold_item"),
        measure("als", "ndcg_at_k", 0.01, part="cold_item"),
        measure("ranker", "ndcg_at_k", 0.04, part="cold_item", to="als"),
        measure("candidates", "candidate_recall_at_n", 0.5, 200),
        measure("candidates", "candidate_recall_at_n", 0.1, 200, "cold_item"),
        measure("als", "candidate_recall_at_n", 0.4, 100),
        measure("als", "candidate_recall_gain_at_n", 0.3, 100),
        measure("ranker", "taken_share_in_decile", 0.2, 10),
        measure("ranker", "taken_share_in_decile", 0.1, 1),
        measure("ranker", "popularity_bias", 0.3),
        measure("ranker", "item_coverage", 0.2),
        measure("ranker", "miscalibration", 0.7),
    ),
)
EMPTY = Evaluation(date(1998, 1, 14), date(1998, 1, 7), 7, ())


def test_slices_stand_beside_the_best_channel() -> None:
    (cold,) = quality.slices(FOUND)
    assert (cold.label, cold.ours.value) == ("Cold items", 0.05)
    assert cold.theirs is not None
    assert cold.difference is not None
    assert (cold.theirs.value, cold.difference.value) == (0.01, 0.04)


def test_recall_is_that_of_all_items_merged_first() -> None:
    table = quality.recall_table(FOUND)
    assert [(whole.stage, whole.value) for whole, _ in table] == [("candidates", 0.5), ("als", 0.4)]
    assert [gain.value if gain else None for _, gain in table] == [None, 0.3]


def test_deciles_go_from_the_best_down() -> None:
    drawn = str(quality.deciles(FOUND))
    assert drawn.index("Best tenth") < drawn.index("Worst tenth")


def test_what_was_not_measured_is_not_in_the_tables() -> None:
    assert [heading for heading, _ in quality.quality_table(FOUND)] == [
        "Catalogue in the lists",
        "Popularity bias",
        "Miscalibration",
    ]


def test_a_stage_is_drawn_by_its_coverage_and_its_bias() -> None:
    drawn = str(quality.coverage_against_popularity(FOUND))
    assert "Ranker: 0.200, +0.300" in drawn
    assert "ALS" not in drawn


def test_an_evaluation_without_anything_draws_nothing() -> None:
    for evaluation in (None, EMPTY):
        assert quality.stages(evaluation) is None
        assert quality.slices(evaluation) == []
        assert quality.recall(evaluation) is None
        assert quality.deciles(evaluation) is None
        assert quality.calibration(evaluation) is None
        assert quality.coverage_against_popularity(evaluation) is None
        assert quality.quality_table(evaluation) == []
