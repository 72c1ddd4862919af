"""The `nightmill` command.

Jobs are imported only when they are run, and heavy libraries only where their work starts, so that a night
in which nothing changed costs next to nothing.
"""

import argparse
import errno
import importlib
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from feature_store.errors import BudgetExhausted, NightmillError, UsageError
from feature_store.locations import shown
from feature_store.settings import Settings, load_settings
from jobs import logs
from jobs.step import Job, Outcome, execute

# The way of the data, in order.
CHAIN = (
    "ingest",
    "profile_items",
    "profile_users",
    "embed",
    "align_embeddings",
    "simulate_cold_start",
    "propose_categories",
    "build_features",
    "tune",
    "fit_recall",
    "build_training_set",
    "ablate",
    "train_ranker",
    "recommend",
    "evaluate",
)

# Jobs that use what an earlier night found, as long as it is young.
SEARCHES = ("tune", "ablate")

# Commands that print what they were asked for: a result, and no log.
RESULTS = {"sql", "status", "similar-items", "bench"}

# infra/benchmarks/<name>.py
BENCHMARKS = ("generation", "features", "quality", "anchors", "recommend", "cold-start")
JUDGES = ("none", "oracle", "model")
COLD_START_PARTS = ("cold-items", "all-items", "aligning")


def load_job(name: str) -> Job:
    """The job of that name; its file is jobs/<name>.py."""
    job: Job = importlib.import_module(f"jobs.{name}").JOB
    return job


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
    commands.add_parser("compact", help="merge the small parts of stored answers and vectors into large ones")
    gc = commands.add_parser("gc", help="remove superseded runs, and partitions older than retention.days")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    forget = commands.add_parser("forget", help="remove everything that is stored of a user, for good")
    forget.add_argument(
        "--user-id", action="append", required=True, help="user_id (may be given several times)"
    )
    forget.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    commands.add_parser("status", help="what is published, how fresh, what it cost")
    commands.add_parser("prepare", help="fetch and verify the default models and data")
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
    commands.add_parser("stop", help="stop the model server this data root has running")
    return parser


def _say(outcome: Outcome) -> None:
    if outcome.nothing_to_do:
        rival = outcome.rival and f"published meanwhile by {outcome.rival}"
        said = rival or "; ".join(outcome.notes) or "its inputs are those of the published run"
        what = f"nothing to do: {said}"
    else:
        counts = ", ".join(
            f"{value:,} {name.replace('_', ' ')}" for name, value in sorted(outcome.counts.items())
        )
        what = f"done in {outcome.seconds:.1f} s" + (f" ({counts})" if counts else "")
    print(f"{outcome.ds} {outcome.job}: {what}", flush=True)


def _range(first: date, last: date, every: int = 1) -> list[date]:
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}")
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, every)]


def _dates(arguments: argparse.Namespace) -> list[date]:
    if bool(arguments.first) != bool(arguments.last):
        raise UsageError("--from and --to go together")
    dates = list(arguments.ds or [])
    if arguments.first:
        dates += _range(arguments.first, arguments.last)
    if not dates:
        raise UsageError("run needs --ds D, or --from D --to D")
    return dates


def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    dates = _dates(arguments)
    from jobs.llm.server import shared_server

    started = time.monotonic()
    exhausted = None
    with shared_server(settings.data_root):
        for ds in dates:
            for name in CHAIN:
                try:
                    _say(execute(load_job(name), ds, settings))
                except BudgetExhausted as error:
                    if not error.published:
                        raise
                    exhausted = error
                    logs.say(f"nightmill: {error}", "error")
    if exhausted is not None:
        raise exhausted
    print(
        f"{len(dates)} dates in {time.monotonic() - started:.0f} s; "
        f"report: {settings.data_root / 'report.html'}"
    )


def _backfill(arguments: argparse.Namespace, settings: Settings) -> None:
    dates = _range(arguments.first, arguments.last, arguments.every)
    from jobs.backfill import Backfill
    from jobs.llm.server import shared_server

    started = time.monotonic()
    order = sorted(dates, reverse=arguments.backwards)
    with shared_server(settings.data_root):
        Backfill(order, settings, _say, arguments.parallel, arguments.reprocess).run()
    print(f"{len(dates)} nights are complete, in {time.monotonic() - started:.0f} s")


def _renew(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.backfill import renew

    nights = renew(settings, _say, arguments.since, named=frozenset(arguments.ds))
    if nights:
        print(
            f"renewed from {nights[0]} on: {len(nights):,} nights had learnt from others than are there now"
        )
    else:
        print("nothing to renew: every night learnt from the nights that are there now")


def _canary(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.canary import canary
    from jobs.llm.server import shared_server

    store = open_store(settings)
    with store.lease(), store.in_company(f"canary for {arguments.ds}"), shared_server(settings.data_root):
        verdict = canary(arguments.ds, settings, keep=arguments.keep)
    if verdict.traces:
        raise NightmillError(str(verdict))
    print(verdict)


def _replay(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.replay import check_replayable, replay

    if arguments.job not in CHAIN:
        raise UsageError(f"there is no job {arguments.job!r} (see `nightmill replay --help`)")
    job = load_job(arguments.job)
    check_replayable(job)
    outcome = replay(job, arguments.ds, settings)
    if outcome.nothing_to_do:
        print(f"{outcome.ds} {outcome.job}: nothing to replay: it refused no row")
    else:
        _say(outcome)


def _sql(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.sql import query

    print(query(open_store(settings), arguments.query, arguments.format))


def _similar_items(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.similar_items import similar_items

    store = open_store(settings)
    with store.lease():
        print(similar_items(store, arguments.ds, arguments.item, arguments.top))


def _export_feast(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.export_feast import export

    folder = (arguments.to or settings.data_root / "feast").expanduser().absolute()
    store = open_store(settings)
    with store.lease():
        print(export(store, folder, settings.generation.price))


def _compact(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.compact import compact

    print(compact(open_store(settings)))


def _gc(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.gc import collect

    print(collect(open_store(settings), settings, arguments.dry_run))


def _forget(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.forget import forget

    print(forget(open_store(settings), settings, arguments.user_id, arguments.dry_run))


def _status(arguments: argparse.Namespace, settings: Settings) -> None:
    from feature_store.remote import open_store
    from jobs.status import render_status

    store = open_store(settings)
    with store.lease():
        print(render_status(store, settings.generation.price))


def _prepare(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.assets import prepare

    prepare(settings)


def _stop(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.llm.server import stop_server

    print("stopped the model server" if stop_server(settings.data_root) else "no model server is running")


def _bench(arguments: argparse.Namespace, settings: Settings) -> None:
    # infra is no part of the program and comes with the repository only
    command = importlib.import_module("infra.benchmarks.command")
    options = {name: getattr(arguments, name) for name in ("data", "sets", "seeds", "judge", "only")}
    command.bench(arguments.name, arguments.format, settings, options)


COMMANDS = {
    "run": _run,
    "backfill": _backfill,
    "renew": _renew,
    "canary": _canary,
    "replay": _replay,
    "similar-items": _similar_items,
    "sql": _sql,
    "export-feast": _export_feast,
    "compact": _compact,
    "gc": _gc,
    "forget": _forget,
    "status": _status,
    "prepare": _prepare,
    "bench": _bench,
    "stop": _stop,
}


def check_data_root(root: Path) -> None:
    """Refuse a data root that cannot be written, before any work is done."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NightmillError(
            f"data root {root} cannot be written ({error.strerror}): set NIGHTMILL_DATA to a folder that can"
        ) from None


def run(argv: Sequence[str] | None = None) -> None:
    """Run one command; errors are raised, not printed."""
    arguments = build_parser().parse_args(argv)
    settings = load_settings()
    logs.install(settings, stdout=arguments.command not in RESULTS)
    check_data_root(settings.data_root)
    if arguments.command in COMMANDS:
        COMMANDS[arguments.command](arguments, settings)
        return
    job = load_job(arguments.command)
    if arguments.shard and not job.shardable:
        raise UsageError(f"{job.name} cannot be sharded: only steps that ask a model can")
    fresh = job.name in SEARCHES and arguments.fresh
    _say(execute(job, arguments.ds, settings, arguments.shard, arguments.reprocess, fresh))


def main() -> NoReturn:
    """Entry point: one line for an error a person can act on, and the exit code of its kind."""
    try:
        run()
    except NightmillError as error:
        logs.say(shown(f"nightmill: {error}"), "error")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
            raise
        where = error.filename or "the data root or the temporary folder"
        said = f"nightmill: {where}: {error.strerror}; nothing was published, free it and run again"
        logs.say(said, "error")
        sys.exit(1)
    except KeyboardInterrupt:
        logs.say("nightmill: interrupted; nothing half-done was published", "error")
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
