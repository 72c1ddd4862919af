"""A shop small enough for a night to take seconds, and large enough that every table has rows."""

from datetime import date
from pathlib import Path
from typing import Any

from feature_store.partitions import Store, read
from feature_store.tables import TABLES
from jobs.night import OF_A_RUN

USERS, ITEMS, DAYS = 24, 30, 40
FIRST = 883612800  # 1998-01-01 00:00 UTC
KINDS = ("Drama", "Comedy", "Action", "Thriller")

SECONDS = "seconds"  # what something took, in `ablations`: another time, another number

Rows = dict[tuple[str, date], list[dict[str, Any]]]


def write_shop(folder: Path, items: int = ITEMS, days: int = DAYS) -> Path:
    """Write the shop into a new folder, in RecBole's format: an event a user and day from 1998-01-01 on."""
    folder.mkdir(parents=True)
    events = [
        f"u{user}\ti{(user * 7 + day * (1 + user % 5)) % items}\t{1 + (user + day) % 5}\t"
        f"{FIRST + day * 86400 + user * 60}"
        for day in range(days)
        for user in range(USERS)
    ]
    films = [f"i{n}\tThe {n}th Film\t{1970 + n}\t{KINDS[n % len(KINDS)]}" for n in range(items)]
    users = [f"u{n}\t{20 + n}\tother" for n in range(USERS)]
    head = {
        "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        "user": "user_id:token\tage:token\toccupation:token",
    }
    for suffix, lines in (("inter", events), ("item", films), ("user", users)):
        text = "\n".join([head[suffix], *lines]) + "\n"
        (folder / f"shop.{suffix}").write_text(text, "utf-8")
    return folder


def tables(root: Path) -> Rows:
    """What every published partition says, whichever run wrote it, in the order of its files."""
    store, found = Store(root), Rows()
    for table in TABLES:
        for partition in store.partitions(table):
            rows = read(table, partition.files)
            rows = rows.drop_columns([name for name in (*OF_A_RUN, SECONDS) if name in rows.column_names])
            found[table, partition.ds] = rows.to_pylist()
    return found
