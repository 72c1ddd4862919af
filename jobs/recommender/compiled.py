"""Loops over arrays as machine code: what numpy has no single call for."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled by numba when it is first called; it lets go of Python's lock while it runs.

    What was compiled is kept for later processes beside the source or in the user's cache (NUMBA_CACHE_DIR);
    where neither can be written, each process compiles anew, a second or so.
    """

    @cache
    def machine() -> Callable[P, R]:
        from numba import njit

        try:
            return njit(nogil=True, cache=True)(function)
        except RuntimeError:  # no folder for it
            return njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        return machine()(*arguments, **named)

    return call
