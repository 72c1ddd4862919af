"""Questions about items nobody knows yet: who is asked about which item, and against which other one.

An item's users are its nearest by text vectors, but no two of a kind; as few of them as will do are asked, so
that what a prompt says of a user is read once. The other item is in turn a near one, which is hard to tell
apart, and a far one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]
Row = NDArray[np.intp]

# What nearness to the item counts against being unlike the users who are there already.
RELEVANCE = 0.7
# Users looked at for each that is wanted: all of them near.
POOL = 10
# What follows in a similarity depends on how a product was laid out in memory.
DIGITS = 6
# The source of questions of which the answer is known.
CHECK = "check"


@dataclass(frozen=True)
class Question:
    """Would this user take `item` or `other`?

    source: "cold_item" and "new_user" become synthetic interactions; of a "check" it is known that the user
    took `item`. history: item ids the model is shown, oldest first. about: what else it is told of the user.
    """

    user_id: str
    item: str
    other: str
    source: str = "cold_item"
    history: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    def entity(self, flipped: bool) -> str:
        """The row a request is for: the question in one of its two orders."""
        first, second = (self.other, self.item) if flipped else (self.item, self.other)
        known = [CHECK] if self.source == CHECK else []
        return "|".join([*known, *map(escaped, (self.user_id, first, second))])


def escaped(name: str) -> str:
    """An id without a bar: users `a` and `a|b` ask different questions, whatever items are called."""
    return name.replace("%", "%25").replace("|", "%7C")


def user_of(entity: str) -> str:
    """The user of a question, from what `Question.entity` makes of it; empty where that is no question."""
    parts = entity.split("|")
    if len(parts) not in (3, 4):
        return ""
    return parts[-3].replace("%7C", "|").replace("%25", "%")


def cold_questions(
    cold: Mapping[str, Vector],
    texts: Mapping[str, str],
    users: Mapping[str, Vector],
    users_per_item: int,
    pairs: int,
) -> list[Question]:
    """Questions about each cold item for users among its most similar ones, every item once before any twice.

    An item is asked about `users_per_item` times, against that many other items; no pair is asked of a user
    twice. texts: what the model is shown of an item; one without any is not asked about, and two with the
    same never meet. Vectors are of length one.
    """
    names, user_ids = [name for name in cold if texts[name]], sorted(users)
    if len(names) < 2 or not user_ids:
        return []
    items, people = np.stack([cold[name] for name in names]), np.stack([users[u] for u in user_ids])
    ranked = [spread(people, item, users_per_item) for item in items]
    asked = few_users(ranked, (users_per_item + 1) // 2)
    questions: dict[tuple[str, frozenset[str]], Question] = {}
    for place in range(users_per_item):
        for index, name in enumerate(names):
            near = [user for user in ranked[index] if user in asked]
            user = user_ids[near[place % len(near)]]
            for other in (names[at] for at in _others(items, index, place)):
                pair = user, frozenset((name, other))
                if texts[other] != texts[name] and pair not in questions:
                    questions[pair] = Question(user, name, other)
                    break
    return list(questions.values())[:pairs]


def _others(items: NDArray[np.floating], index: int, place: int) -> Row:
    """The other items, nearest first at even places, farthest first at odd ones."""
    similarity = np.round(items @ items[index], DIGITS)
    order = np.argsort(similarity if place % 2 else -similarity, kind="stable")
    return order[order != index]


def spread(people: NDArray[np.floating], item: Vector, wanted: int) -> list[int]:
    """The rows of `people` near an item that are not all alike, the best first.

    Each next one has the largest RELEVANCE * (cosine to the item) - (1 - RELEVANCE) * (largest cosine to
    those before it). Source: Carbonell and Goldstein, 1998 (maximal marginal relevance).
    """
    similarity = np.round(people @ item, DIGITS)
    pool = np.argsort(-similarity, kind="stable")[: POOL * wanted]
    between = np.round(people[pool] @ people[pool].T, DIGITS)
    chosen = [0]
    while len(chosen) < min(wanted, len(pool)):
        gain = RELEVANCE * similarity[pool] - (1 - RELEVANCE) * between[:, chosen].max(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(np.round(gain, DIGITS))))
    return [int(user) for user in pool[chosen]]


def few_users(ranked: Sequence[Sequence[int]], each: int) -> set[int]:
    """Users so that each row (an item's nearest users) has `each` of its own, or all of a shorter one.

    Always who serves most rows; of users who serve equally many, who is nearest to them, by rank.
    """
    chosen: set[int] = set()
    waiting = list(ranked)
    while waiting:
        places: dict[int, list[int]] = {}
        for row in waiting:
            for place, user in enumerate(row):
                if user not in chosen:
                    places.setdefault(user, []).append(place)
        chosen.add(min(places, key=lambda user: (-len(places[user]), sum(places[user]), user)))
        waiting = [row for row in waiting if len(chosen.intersection(row)) < min(each, len(row))]
    return chosen
