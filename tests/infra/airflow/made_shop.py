"""A shop so small that a night takes seconds, and large enough that every table of a night has rows."""

import random
from pathlib import Path

GENRES = ("Action", "Comedy", "Drama", "Animation")
FIRST_DAY = 883_612_800  # 1998-01-01 00:00 UTC
DAY = 86_400
INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
USER = "user_id:token\tage:token\toccupation:token"


def write_shop(folder: Path, users: int = 30, items: int = 40, days: int = 12) -> Path:
    """Write events from 1998-01-01 on, most of them with items of a user's own genre; returns the folder."""
    draw = random.Random(7)
    events = [INTER]
    for user in range(users):
        own = [item for item in range(items) if item % 4 == user % 4]
        taken: set[int] = set()
        for second in range(FIRST_DAY, FIRST_DAY + days * DAY, DAY // 2):
            item = draw.choice(own * 3 + list(range(items)))
            if item not in taken:
                taken.add(item)
                rating = 5 if item in own else 3
                events.append(f"u{user}\tm{item}\t{rating}\t{second + draw.randrange(DAY // 2)}")
    films = [f"m{item}\tFilm {item}\t{1970 + item % 29}\t{GENRES[item % 4]}" for item in range(items)]
    people = [f"u{user}\t{20 + user}\tother" for user in range(users)]
    folder.mkdir(parents=True)
    for suffix, lines in (("inter", events), ("item", [ITEM, *films]), ("user", [USER, *people])):
        (folder / f"shop.{suffix}").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
