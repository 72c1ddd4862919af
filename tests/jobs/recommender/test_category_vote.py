"""The vote of neighbours on a category, with vectors whose cosines are known by hand."""

import numpy as np
import pytest

from jobs.recommender.category_vote import NEIGHBOURS, Voters, nearest


def unit(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


VOTERS = Voters(
    ids=["a", "b", "c"],
    matrix=unit(0, 60, 180),
    categories=[["Drama"], ["Comedy", "Drama"], ["War"]],
    names=["Drama", "War", "Comedy"],
)


def test_votes_are_weighted_by_likeness() -> None:
    (vote,) = VOTERS.vote(["new"], unit(0))
    # a votes with 1, b with cos 60 = 0.5, c is not alike at all
    assert vote.categories == ("Drama", "Comedy", "War")
    assert vote.shares == pytest.approx((1.0, 1 / 3, 0.0), abs=1e-4)


def test_an_item_has_no_vote_on_itself() -> None:
    (vote,) = VOTERS.vote(["a"], unit(0))
    assert dict(zip(vote.categories, vote.shares, strict=True)) == pytest.approx(
        {"Drama": 1.0, "Comedy": 1.0, "War": 0.0}
    )


def test_a_text_like_nothing_gets_no_votes() -> None:
    lonely = Voters(["a"], unit(0), [["Drama"]], ["Drama", "War"])
    for vector in (unit(90), unit(180), np.full((1, 2), np.nan, np.float32), np.zeros((1, 2), np.float32)):
        (vote,) = lonely.vote(["new"], vector)
        assert (vote.categories, vote.shares) == (("Drama", "War"), (0.0, 0.0))


def test_without_voters_there_are_no_votes() -> None:
    (vote,) = Voters([], np.zeros((0, 2), np.float32), [], ["Drama"]).vote(["new"], unit(0))
    assert vote.shares == (0.0,)


def test_a_category_that_may_not_be_proposed_takes_its_votes_along() -> None:
    rooted = Voters(["a", "b"], unit(0, 0), [["Film", "War"], ["Film"]], ["War"])
    (vote,) = rooted.vote(["new"], unit(0))
    assert (vote.categories, vote.shares) == (("War",), pytest.approx((0.5,)))


def test_only_the_nearest_vote() -> None:
    count = NEIGHBOURS + 5
    voters = Voters(
        [f"v{n:02}" for n in range(count)],
        unit(*range(count)),
        [["near" if n < NEIGHBOURS else "far"] for n in range(count)],
        ["far", "near"],
    )
    (vote,) = voters.vote(["new"], unit(0))
    assert vote.categories == ("near", "far")
    assert vote.shares == pytest.approx((1.0, 0.0))


def test_of_equally_near_ones_the_earlier_is_taken() -> None:
    assert nearest(np.array([0.5, 0.9, 0.5, 0.5, -1.0]), 3) == [1, 0, 2]
    assert nearest(np.array([0.5, 0.9, -0.5]), 3) == [1, 0]


def test_the_vote_does_not_depend_on_who_is_asked_beside() -> None:
    degrees = [float(d) for d in range(150)]
    ids = [f"n{d}" for d in degrees]
    together = VOTERS.vote(ids, unit(*degrees))
    assert together == [VOTERS.vote([i], unit(d))[0] for i, d in zip(ids, degrees, strict=True)]
