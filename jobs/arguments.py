"""The arguments of the `nightmill` command."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

from feature_store.errors import UsageError
from jobs.chain import CHAIN, SEARCHES

# infra/benchmarks/<name>.py
BENCHMARKS = ("generation", "features", "quality", "anchors", "recommend", "cold-start")
JUDGES = ("none", "oracle", "model")
COLD_START_PARTS = ("cold-items", "all-items", "aligning")
# What add_subparsers gives has no public name.
Commands = argparse._SubParsersAction


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def parse_ds(text: str) -> date:
    """A logical date; the error says what one looks like."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 1998-01-07") from None


def parse_moment(text: str) -> datetime:
    """A moment in ISO 8601, in UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a moment like 1998-01-07T04:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_count(text: str) -> int:
    """A whole number from 1 on."""
    if not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def parse_shard(text: str) -> tuple[int, int]:
    """A shard k/N with 1 <= k <= N, as (k, N)."""
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard like 1/4")
    return int(k), int(n)


def build_parser() -> Parser:
    """Every sub-command and its arguments."""
    parser = Parser(
        prog="nightmill", description="A language model's knowledge for a recommender, made at night."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_steps(commands)
    _add_nights(commands)
    _add_questions(commands)
    _add_care(commands)
    _add_bench(commands)
    return parser


def _add_steps(commands: Commands) -> None:
    """A command for each step of a night, and `replay`."""
    for name in CHAIN:
        job = commands.add_parser(name, help=f"one step: {name.replace('_', ' ')}")
        job.add_argument("--ds", type=parse_ds, required=True, help="logical date, YYYY-MM-DD")
        job.add_argument(
            "--shard", type=parse_shard, help="k/N: answer only this share of the requests, publish nothing"
        )
        job.add_argument("--reprocess", action="store_true", help="run even if nothing changed")
        if name in SEARCHES:
            job.add_argument(
                "--fresh", action="store_true", help="search anew, however young what was found before is"
            )
    replay = commands.add_parser(
        "replay", help="ask again about the rows a job refused, with the prompt and model of the settings"
    )
    replay.add_argument("job", help="profile_items or profile_users")
    replay.add_argument("--ds", type=parse_ds, required=True, help="logical date, YYYY-MM-DD")


def _add_nights(commands: Commands) -> None:
    """Whole nights, one or many."""
    chain = commands.add_parser("run", help="all steps in order, without Airflow")
    chain.add_argument(
        "--ds", type=parse_ds, action="append", help="logical date (may be given several times)"
    )
    chain.add_argument("--from", dest="first", type=parse_ds, help="first date of a range")
    chain.add_argument("--to", dest="last", type=parse_ds, help="last date of a range")
    backfill = commands.add_parser("backfill", help="all steps for a range of dates, in any order")
    backfill.add_argument("--from", dest="first", type=parse_ds, required=True, help="first date")
    backfill.add_argument("--to", dest="last", type=parse_ds, required=True, help="last date")
    backfill.add_argument("--every", type=parse_count, default=1, metavar="DAYS", help="one date in so many")
    backfill.add_argument("--backwards", action="store_true", help="the newest date first")
    backfill.add_argument("--parallel", type=parse_count, default=1, metavar="N", help="dates at once")
    backfill.add_argument("--reprocess", action="store_true", help="run even what did not change")
    renew = commands.add_parser("renew", help="run what learnt from other nights than are there now again")
    renew.add_argument(
        "--since",
        type=parse_moment,
        metavar="TIME",
        help="only nights made at or after it (ISO 8601)",
    )
    renew.add_argument(
        "--ds", type=parse_ds, action="append", default=[], help="this night too, however old (several times)"
    )


def _add_questions(commands: Commands) -> None:
    """What reads what is published."""
    canary = commands.add_parser("canary", help="show that a date knows nothing of what came after it")
    canary.add_argument("--ds", type=parse_ds, required=True, help="logical date, YYYY-MM-DD")
    canary.add_argument("--keep", action="store_true", help="keep the runs it compares, whatever it finds")
    similar = commands.add_parser("similar-items", help="what stands near an item, and who says so")
    similar.add_argument("--ds", type=parse_ds, required=True, help="logical date, YYYY-MM-DD")
    similar.add_argument("--item", required=True, help="item_id")
    similar.add_argument("--top", type=parse_count, default=10, metavar="N", help="how many (default 10)")
    sql = commands.add_parser("sql", help="DuckDB over every published table")
    sql.add_argument("query")
    sql.add_argument("--format", choices=("table", "csv", "json"), default="table")
    feast = commands.add_parser("export-feast", help="a Feast repository over the published tables")
    feast.add_argument("--to", type=Path, help="folder to write (default: feast/ under the data root)")
    commands.add_parser("status", help="what is published, how fresh, what it cost")


def _add_care(commands: Commands) -> None:
    """What looks after a data root."""
    commands.add_parser("prepare", help="fetch and verify the default models and data")
    commands.add_parser("compact", help="merge the small parts of stored answers and vectors into large ones")
    gc = commands.add_parser("gc", help="remove superseded runs, and partitions older than retention.days")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    forget = commands.add_parser("forget", help="remove everything that is stored of a user, for good")
    forget.add_argument(
        "--user-id", action="append", required=True, help="user_id (may be given several times)"
    )
    forget.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    commands.add_parser("stop", help="stop the model server this data root has running")


def _add_bench(commands: Commands) -> None:
    bench = commands.add_parser("bench", help="a benchmark, side by side with a peer")
    bench.add_argument("name", choices=BENCHMARKS)
    bench.add_argument("--format", choices=("table", "json"), default="table")
    bench.add_argument(
        "--data",
        type=Path,
        help="quality, cold-start: a folder with interactions.parquet and items.parquet, or of such folders",
    )
    bench.add_argument(
        "--sets", help="quality, cold-start: names of the sets to measure, with commas between them"
    )
    bench.add_argument("--seeds", type=parse_count, metavar="N", help="cold-start: draws of held-out items")
    bench.add_argument("--judge", choices=JUDGES, help="cold-start: who answers the A/B questions")
    bench.add_argument("--only", choices=COLD_START_PARTS, help="cold-start: one part of the benchmark")
