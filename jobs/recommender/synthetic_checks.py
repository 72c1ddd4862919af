"""Questions whose answer is known: the newest item a user took, against one the user never took.

What a judge gets right of them says what its word on cold items is worth.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256

import numpy as np

from jobs.history import History
from jobs.recommender.synthetic import DIGITS, Question, Vector

# Untaken items of the popularity of the taken one, of which the nearest or the farthest is asked about.
ALIKE = 20


def check_users(
    histories: Mapping[str, History], warm: Mapping[str, int], texts: Mapping[str, str], wanted: int
) -> list[str]:
    """At most `wanted` users with something to show and a warm item to hold out: the same night after night.

    One question each: answers about one user are no independent witnesses.
    """

    def able(history: History) -> bool:
        newest = history.item_ids[-1]
        return len(history.item_ids) > 1 and newest in warm and bool(texts[newest])

    return sorted((user for user in histories if able(histories[user])), key=_hashed)[:wanted]


def checks(
    users: Sequence[str],
    histories: Mapping[str, History],
    taken: Mapping[str, set[str]],
    warm: Mapping[str, int],
    texts: Mapping[str, str],
    vectors: Mapping[str, Vector],
) -> list[Question]:
    """One question for each of the users: `item` is the newest the user took, and is not shown.

    warm: events on each item that may be asked about. The other item is about as popular, since who prefers
    what is popular knows nothing about cold items; of ALIKE such items the nearest to the taken one is asked
    about in turn with the farthest, as among cold items. taken: all items each user has an event on.
    """
    found: list[Question] = []
    for user in users:
        *shown, newest = histories[user].item_ids
        others = [
            item
            for item in warm
            if item not in taken[user] and texts.get(item) and texts[item] != texts[newest]
        ]
        if others:
            alike = sorted(others, key=partial(_unlike, warm, newest, user))[:ALIKE]
            other = _extreme(alike, newest, vectors, farthest=len(found) % 2 == 1)
            found.append(Question(user, newest, other, "check", tuple(shown)))
    return found


def _unlike(warm: Mapping[str, int], newest: str, user: str, item: str) -> tuple[float, bytes]:
    """How far apart two items are in popularity; equal ones in an order of the user's own."""
    return abs(math.log(warm[item] / warm[newest])), _hashed(f"{user}|{item}")


def _extreme(items: Sequence[str], newest: str, vectors: Mapping[str, Vector], farthest: bool) -> str:
    known = [item for item in items if item in vectors]
    if newest not in vectors or not known:
        return items[0]
    cosines = np.round(np.stack([vectors[item] for item in known]) @ vectors[newest], DIGITS)
    return known[int(np.argmin(cosines) if farthest else np.argmax(cosines))]


def _hashed(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
