"""Questions about new users: told what is known of them, the model chooses between items many have taken."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import numpy as np

from jobs.recommender.synthetic import DIGITS, Question, Vector

# Pairs each new user is asked about.
EACH = 3
# Of so many items, those taken most, the pairs are made.
POPULAR = 50


def about(attributes: str, protected: Iterable[str]) -> tuple[str, ...]:
    """The attributes of a row of `users` as lines, "occupation: writer"; protected ones are left out."""
    kept = []
    for name, value in sorted(json.loads(attributes or "{}").items()):
        words = set(re.split(r"[^a-z]+", name.lower()))
        if value and words.isdisjoint(protected):
            kept.append(f"{name.replace('_', ' ')}: {value}")
    return tuple(kept)


def newcomers(users: Iterable[str], wanted: int) -> list[str]:
    """At most `wanted` of the users, the same night after night."""
    return sorted(users, key=lambda user: sha256(user.encode("utf-8", "surrogatepass")).digest())[:wanted]


def panel(counts: Mapping[str, int], texts: Mapping[str, str], vectors: Mapping[str, Vector]) -> list[str]:
    """2 * EACH much-taken items, each as far as can be from those before it: the pairs to ask about.

    The first is the one taken most; ties go to the smaller id.
    """
    known = [item for item in counts if item in vectors and texts.get(item)]
    known = sorted(known, key=lambda item: (-counts[item], item))[:POPULAR]
    if not known:
        return []
    found = np.stack([vectors[item] for item in known])
    cosines = np.round(found @ found.T, DIGITS)
    chosen = [0]
    while len(chosen) < min(2 * EACH, len(known)):
        nearest = cosines[:, chosen].max(axis=1)
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
    return [known[at] for at in chosen]


def newcomer_questions(
    users: Sequence[str],
    told: Mapping[str, tuple[str, ...]],
    histories: Mapping[str, tuple[str, ...]],
    taken: Mapping[str, set[str]],
    items: Sequence[str],
    texts: Mapping[str, str],
) -> list[Question]:
    """EACH questions for each user, less those about an item the user has taken or two with the same text."""
    found = []
    for user in users:
        for item, other in zip(items[::2], items[1::2], strict=False):
            if texts[item] != texts[other] and taken.get(user, set()).isdisjoint((item, other)):
                found.append(Question(user, item, other, "new_user", histories.get(user, ()), told[user]))
    return found
