"""How many threads the numeric libraries get, so that they share one machine instead of fighting over it."""

import os
from contextlib import AbstractContextManager


def cores() -> int:
    """The processors this process may use, which a container can make fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows know no affinity
        return os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread while implicit spreads rows over threads of its own.

    Both together are up to ten times slower, and implicit warns about it; OPENBLAS_NUM_THREADS=1 would do the
    same but has to be set before numpy is imported.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1, "blas")
