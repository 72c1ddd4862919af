"""Nights published by hand, as the tests of the jobs have them."""

from tests.jobs.conftest import two_nights

__all__ = ["two_nights"]
