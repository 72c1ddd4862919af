"""Who was forgotten: hashes of users' ids, so that an ingest of the same raw files does not bring them back.

    <data>/forgotten.json      {"lists": [{"salt": "...", "users": ["...", ...]}, ...]}
    <remote>/forgotten.json    the same where store.remote is set: what one machine forgets all leave out

A hash keeps the id out of the file. It is no secret: whoever has a list of ids can try them.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import NightmillError
from feature_store.partitions import Store

FILE = "forgotten.json"


@dataclass(frozen=True)
class Hashed:
    """One list of hashed ids, and the salt they were hashed with."""

    salt: str
    users: frozenset[str]

    def hash(self, user_id: str) -> str:
        """SHA-256 of salt and id."""
        return sha256(f"{self.salt}\0{user_id}".encode("utf-8", "surrogatepass")).hexdigest()

    def __contains__(self, user_id: str) -> bool:
        return self.hash(user_id) in self.users


@dataclass(frozen=True)
class Forgotten:
    """Every user that is left out, in lists that were begun on different machines."""

    lists: tuple[Hashed, ...] = ()

    @classmethod
    def read(cls, store: Store) -> "Forgotten":
        """The users forgotten in a data root, and where it has a remote by anybody who shares it.

        NightmillError where a list cannot be read: nobody may come back because of that.
        """
        merged: dict[str, frozenset[str]] = {}
        for text in store.read_shared(FILE):
            for each in _parse(text, store):
                merged[each.salt] = merged.get(each.salt, frozenset()) | each.users
        return cls(tuple(Hashed(salt, users) for salt, users in merged.items()))

    def __contains__(self, user_id: str) -> bool:
        return any(user_id in each for each in self.lists)

    def among(self, user_ids: pa.Array) -> pa.Array:
        """Which of many ids are those of forgotten users; null is nobody's."""
        if not any(each.users for each in self.lists):
            return pa.repeat(False, len(user_ids))
        # Hashing is slow, and a file of events names each user many times.
        distinct = [user for user in pc.unique(user_ids).to_pylist() if user is not None]
        found = pa.array([user for user in distinct if user in self], pa.string())
        return pc.is_in(user_ids.cast(pa.string()), value_set=found)


def add(store: Store, user_ids: Iterable[str]) -> int:
    """Put users on the list, on the disk when this returns; how many of them were not on it."""
    known = Forgotten.read(store)
    new = [user for user in dict.fromkeys(user_ids) if user not in known]
    first, *others = known.lists or (Hashed(secrets.token_hex(16), frozenset()),)
    first = Hashed(first.salt, first.users | {first.hash(user) for user in new})
    lists = [{"salt": each.salt, "users": sorted(each.users)} for each in (first, *others)]
    # Also where none is new: a remote that was set later does not have the list yet.
    store.write_shared(FILE, json.dumps({"lists": lists}, indent=1))
    return len(new)


def _parse(text: str, store: Store) -> list[Hashed]:
    try:
        return [
            Hashed(str(one["salt"]), frozenset(map(str, one["users"]))) for one in json.loads(text)["lists"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise NightmillError(
            f"{FILE} of {store.root} (or of store.remote) is damaged ({error}): restore it from a copy, or "
            "remove it and run `nightmill forget` again for every user who is to be left out"
        ) from None
