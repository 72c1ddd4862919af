"""Items held out whole: every event on them is hidden, and what users took of them is the truth."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import NightmillError

SHARE = 0.2
FIRST_SEED = 42


@dataclass(frozen=True)
class Trial:
    """A history without the events on some items.

    known: the events that are left. held: the items whose events are hidden, in order. relevant: for each
    user with an event left, the held-out items the user took; users in order of their ids, none with an
    empty set.
    """

    seed: int
    known: pa.Table
    held: list[str]
    relevant: dict[str, set[str]]


def draw(events: pa.Table, catalogue: pa.ChunkedArray, seed: int) -> list[str]:
    """A fifth of the items of the catalogue that have events, drawn by a seed, in order.

    The draw is from the sorted ids: the order of rows changes nothing. NightmillError with fewer than ten.
    """
    taken = pc.unique(events["item_id"])
    ids = sorted(taken.filter(pc.is_in(taken, pc.unique(catalogue))).to_pylist())
    if len(ids) < 2 / SHARE:
        raise NightmillError(f"{len(ids)} items of the catalogue have events: too few to hold some out")
    chosen = np.random.default_rng(seed).choice(len(ids), int(SHARE * len(ids)), replace=False)
    return [ids[place] for place in sorted(chosen.tolist())]


def hold_out(events: pa.Table, catalogue: pa.ChunkedArray, seed: int) -> Trial:
    """Hide every event on the items that `draw` chooses.

    events: user_id, item_id and more. NightmillError when nobody with an event left took one of them.
    """
    held = draw(events, catalogue, seed)
    hidden = pc.is_in(events["item_id"], pa.array(held, pa.string()))
    known = events.filter(pc.invert(hidden))
    taken = events.filter(hidden)
    taken = taken.filter(pc.is_in(taken["user_id"], pc.unique(known["user_id"])))
    relevant: dict[str, set[str]] = {user: set() for user in sorted(pc.unique(taken["user_id"]).to_pylist())}
    for user, item in zip(taken["user_id"].to_pylist(), taken["item_id"].to_pylist(), strict=True):
        relevant[user].add(item)
    if not relevant:
        raise NightmillError(f"seed {seed}: nobody with another event took a held-out item")
    return Trial(seed, known, held, relevant)
