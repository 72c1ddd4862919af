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
from datetime import date, timedelta
from pathlib import Path
from typing import NoReturn

from feature_store.errors import BudgetExhausted, NightmillError, UsageError
from feature_store.locations import shown
from feature_store.settings import Settings, load_settings
from jobs import logs
from jobs.arguments import build_parser
from jobs.chain import CHAIN, SEARCHES, load_job
from jobs.step import Outcome, execute

# Commands that print what they were asked for: a result, and no log.
RESULTS = {"sql", "status", "similar-items", "bench"}


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
