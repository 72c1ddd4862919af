"""Parts of a night that are measured by themselves: kinds of items, kinds of users."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ItemSlice = Literal["warm_item", "cold_item", "head", "tail"]
UserSlice = Literal["active_user", "occasional_user", "new_user"]

ALL = "all"
ITEM_SLICES: tuple[ItemSlice, ...] = get_args(ItemSlice)
USER_SLICES: tuple[UserSlice, ...] = get_args(UserSlice)
SLICES = (ALL, *ITEM_SLICES, *USER_SLICES)
# Items that carry this share of the events are the head, the others the tail.
HEAD = 0.8

Flags = NDArray[np.bool_]


def of_items(events: NDArray[np.int64], cold_events: int) -> dict[str, Flags]:
    """Which items are in each slice of items, by how many events each had before the night.

    An item counts as relevant in its slices only; those of others are then neither for nor against.
    """
    cold = events <= cold_events
    late = tail(events)
    return {
        ALL: np.ones(len(events), dtype=bool),
        "warm_item": ~cold,
        "cold_item": cold,
        "head": ~late,
        "tail": late,
    }


def tail(events: NDArray[np.int64]) -> Flags:
    """Items beyond the most frequent ones that together carry HEAD of the events; ties by place."""
    order = np.argsort(-events, kind="stable")
    before = np.cumsum(events[order]) - events[order]
    flags = np.zeros(len(events), dtype=bool)
    flags[order] = before >= HEAD * events.sum()
    return flags


def of_users(events: NDArray[np.int64], usual: float, new_events: int) -> dict[str, Flags]:
    """Which users are in each slice of users, by how many events each had before the night.

    New: at most new_events. Of the others active: at least the usual number, occasional: fewer.
    """
    new = events <= new_events
    active = ~new & (events >= usual)
    return {"active_user": active, "occasional_user": ~new & ~active, "new_user": new}
