"""The answer on the first screen, for each thing the numbers can say."""

from dataclasses import replace
from datetime import date

import pytest

from jobs.night_accounts import StepRow
from jobs.recommender.published_values import EARLIER
from jobs.report.accounts import Importance, Ranker
from jobs.report.evidence import Evaluation, Measure
from jobs.report.units import MINUS
from jobs.report.verdict import cost, ranker_words, verdict

DS = date(1998, 1, 14)


def measure(
    stage: str, value: float, low: float, high: float, users: int = 400, against: str = ""
) -> Measure:
    return Measure(stage, "ndcg_at_k", 10, against, value, low, high, users)


def evaluation(low: float, high: float, users: int = 400, evaluated: int = 7) -> Evaluation:
    covered = Measure("ranker", "item_coverage", 10, "", 0.2, None, None, 900)
    return Evaluation(
        date(1998, 1, evaluated + 7),
        date(1998, 1, evaluated),
        7,
        (
            measure("ranker", 0.12, 0.1, 0.14, users),
            measure("als", 0.1, 0.08, 0.12, users),
            measure("trending", 0.05, 0.04, 0.06, users),
            measure("ranker", 0.02, low, high, users, "als"),
            measure("ranker", 0.07, low, high, users, "trending"),
            covered,
        ),
    )


@pytest.mark.parametrize(
    ("low", "high", "answer"), [(0.01, 0.03, "yes"), (-0.01, 0.05, "unclear"), (-0.03, -0.01, "no")]
)
def test_the_interval_of_the_paired_difference_decides(low: float, high: float, answer: str) -> None:
    assert verdict(DS, [evaluation(low, high)], 7).answer == answer


def test_the_sentences_name_the_best_channel_the_numbers_and_the_users() -> None:
    text = " ".join(verdict(DS, [evaluation(0.01, 0.03)], 7).sentences)
    assert "NDCG@10 0.120; the best single channel (ALS) 0.100" in text
    assert "Difference +0.020 (+20%), 95% interval +0.010 to +0.030" in text
    assert "400 of 900 users" in text
    assert "small sample" not in text
    assert "judged from 21 January 1998" in text


def test_few_users_are_called_a_small_sample() -> None:
    assert "small sample" in " ".join(verdict(DS, [evaluation(0.01, 0.03, users=36)], 7).sentences)


def with_week_before(low: float, high: float, then: date = date(1997, 12, 31)) -> Evaluation:
    one = evaluation(-0.01, 0.05)
    against = Measure("ranker", "ndcg_at_k", 10, EARLIER, 0.03, low, high, 700, compared_ds=then)
    return replace(one, measures=(*one.measures, against))


@pytest.mark.parametrize(
    ("low", "high", "answer", "headline"),
    [
        (0.01, 0.05, "yes", "Better than last week's."),
        (-0.01, 0.07, "unclear", "No clear difference to last week's."),
        (-0.03, -0.01, "no", "Worse than last week's."),
    ],
)
def test_with_a_week_before_the_difference_of_the_two_weeks_decides(
    low: float, high: float, answer: str, headline: str
) -> None:
    found = verdict(DS, [with_week_before(low, high)], 7)
    assert (found.answer, found.headline) == (answer, headline)
    assert "(7 January 1998) is 0.120, of those of 31 December 1997 0.090: +0.030" in found.sentences[0]
    assert "no paired comparison" in found.sentences[0]


def test_the_lead_over_the_best_channel_is_told_for_both_weeks() -> None:
    before = replace(evaluation(0.01, 0.03), evaluated_ds=date(1997, 12, 31))
    text = verdict(DS, [before, with_week_before(0.01, 0.05)], 7).sentences[0]
    assert "The lead over the best single channel was +0.020 then and +0.020 now." in text


def test_a_night_further_back_is_named_by_its_date() -> None:
    found = verdict(DS, [with_week_before(0.01, 0.05, date(1997, 12, 1))], 7)
    assert found.headline == "Better than those of 1 December 1997."


def test_without_a_week_before_it_says_so() -> None:
    found = verdict(DS, [evaluation(0.01, 0.03)], 7)
    assert "No lists of a week before" in found.sentences[-1]
    assert found.question == "Are the lists better than a single channel's?"
    assert with_week_before(0, 1).against_earlier is not None
    assert "last week's" in verdict(DS, [with_week_before(0, 1)], 7).question


def test_without_an_evaluation_it_is_too_early() -> None:
    early = verdict(DS, [], 7)
    assert early.answer == "early"
    assert "7 days older than 14 January 1998" in early.sentences[0]


def test_an_evaluation_without_users_judges_nothing() -> None:
    covered = Measure("candidates", "item_coverage", 10, "", 0.2, None, None, 3)
    nobody = verdict(DS, [Evaluation(DS, date(1998, 1, 7), 7, (covered,))], 7)
    assert (nobody.answer, nobody.headline) == ("early", "Nobody to judge by.")


def step(**amounts: int) -> StepRow:
    return StepRow("profile_items", DS, True, 90.0, 10, **amounts)


def test_cost_of_a_night_that_asked() -> None:
    asked = step(requests=10, asked=4, cached=6, prompt_tokens=1000, cached_tokens=500, output_tokens=200)
    text = cost([asked, StepRow("ingest", DS, True, 30.0, 5)])
    assert "answered 4 of 10 questions, the other 60% were known" in text
    assert "1 k tokens (50% of them from its prefix cache) and wrote 200" in text
    assert "in steps that took 1 min 30 s. All steps together took 2 min." in text


def test_cost_of_a_night_that_asked_nothing() -> None:
    assert "all 10 answers were known" in cost([step(requests=10, cached=10)])
    assert "No step had a question" in cost([step()])


def test_what_orders_the_lists() -> None:
    importances = [Importance("als_score", 0.75, "recall"), Importance("llm_x", 0.25, "item_text")]
    trained = Ranker("trained", "", 20, 1000, 50, 60, 0.3, importances)
    assert "carry 25% of its gain" in ranker_words(trained)
    kept = replace(trained, status="kept", trained_ds=date(1998, 1, 3), challenger=(-0.0021, -0.004, -0.0002))
    assert "the ranker of 3 January 1998, which tonight's did not beat" in ranker_words(kept)
    assert f"NDCG@10 {MINUS}0.0021 ({MINUS}0.0040 to {MINUS}0.0002)" in ranker_words(kept)
    fallback = Ranker("fallback", "3 query groups, 20 are needed.", 3, 0, 0, 0, None, [])
    assert (
        ranker_words(fallback) == "Tonight's lists are in recall's own order: 3 query groups, 20 are needed."
    )
    assert "No ranker" in ranker_words(None)
