"""A made source of some weeks in which two users can be told from all others, by id and by what one says."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

# One has taken much, the other hardly anything, so that a model is asked about what the source says of it.
ACTIVE, NEWCOMER = "zoë|x&y-31337", "newcomer-90210"
OCCUPATIONS = {ACTIVE: "lighthousekeeper", NEWCOMER: "ropewalker"}
BEGIN = datetime(1997, 12, 20, tzinfo=UTC)
DAYS = 26


def write(folder: Path, users: int = 40, items: int = 60) -> None:
    """Write the source in RecBole's format; a user likes items of its own number modulo three."""
    draw = random.Random(7)
    names = [f"u{n}" for n in range(users)] + [ACTIVE]
    events = []
    for place, user in enumerate(names):
        for n in range(24):
            item = 3 * draw.randrange(items // 3) + place % 3
            when = BEGIN + timedelta(days=DAYS * n / 24, seconds=draw.randrange(40_000))
            events.append((user, f"m{item}", draw.randint(2, 5), int(when.timestamp())))
    for day in (20, 23):
        events.append((NEWCOMER, f"m{day}", 5, int((BEGIN + timedelta(days=day)).timestamp())))
    lines = ["\t".join(map(str, event)) for event in events]
    # Neither is a row: what is refused is kept, and names whose it is.
    lines += [f"{ACTIVE}\tm1\t5\tyesterday", "u1\tm1\t5\tyesterday"]
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    folder.mkdir(parents=True)
    (folder / "made.inter").write_text("\n".join([head, *lines]) + "\n", "utf-8")
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    kinds = ("Comedy", "Drama", "Western")
    lines = [f"m{n}\tThe story of number {n}\t{1950 + n % 40}\t{kinds[n % 3]}" for n in range(items)]
    (folder / "made.item").write_text("\n".join([head, *lines]) + "\n", "utf-8")
    lines = [f"{user}\t{OCCUPATIONS.get(user, 'cook')}" for user in [*names, NEWCOMER, ACTIVE]]
    (folder / "made.user").write_text("\n".join(["user_id:token\toccupation:token", *lines]) + "\n", "utf-8")


def one_more_day(folder: Path) -> None:
    """Let both of them and another one take something on the day after the last."""
    when = int((BEGIN + timedelta(days=DAYS)).timestamp())
    with open(folder / "made.inter", "a", encoding="utf-8") as file:
        file.writelines(f"{user}\tm1\t5\t{when}\n" for user in (ACTIVE, NEWCOMER, "u1"))
