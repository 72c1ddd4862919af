"""Loops over arrays as machine code: what numpy has no single call for."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def compiled(*liberties: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that numba compiles when it is first called, and that lets go of Python's lock as it runs.

    liberties: what may be done to floats for speed, in LLVM's words ("reassoc": sums in any order); none by
    default. What was compiled is kept for later processes beside the source or in the user's cache
    (NUMBA_CACHE_DIR); where neither can be written, each process compiles anew, some seconds.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @cache
        def machine() -> Callable[P, R]:
            from numba import njit

            try:
                return njit(nogil=True, fastmath=set(liberties), cache=True)(function)
            except RuntimeError:  # no folder for it
                return njit(nogil=True, fastmath=set(liberties))(function)

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            return machine()(*arguments, **named)

        return call

    return decorate
