"""`python -m infra.airflow.nightly`: run the nightly DAG for some dates, then stop Airflow."""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

from feature_store.errors import NightmillError, UsageError
from feature_store.partitions import Store
from feature_store.sections import Settings
from feature_store.settings import load_settings
from infra.airflow.running import Airflow, Stopped, exit_code_of, running
from infra.airflow.watch import Watch
from jobs.arguments import Parser, parse_ds
from jobs.night_accounts import render_steps, steps

POLL_SECONDS = 0.5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's arguments."""
    parser = Parser(prog="python -m infra.airflow.nightly", description=__doc__)
    parser.add_argument("--dates", nargs="+", type=parse_ds, metavar="DATE", help="logical dates, YYYY-MM-DD")
    parser.add_argument("--from", dest="first", type=parse_ds, metavar="DATE", help="first date of a range")
    parser.add_argument("--to", dest="last", type=parse_ds, metavar="DATE", help="last date of a range")
    return parser.parse_args(arguments)


def logical_dates(options: argparse.Namespace, default: Sequence[date]) -> list[date]:
    """The dates to run, oldest first; UsageError when the options contradict each other."""
    if (options.first is None) != (options.last is None):
        raise UsageError("--from and --to go together; give both or use --dates")
    if options.dates and options.first:
        raise UsageError("give --dates or a range from --from to --to, not both")
    if options.dates:
        return sorted(set(options.dates))
    if options.first is None:
        return sorted(set(default))
    if options.last < options.first:
        raise UsageError(f"--to {options.last} is before --from {options.first}; swap them")
    return [options.first + timedelta(days=n) for n in range((options.last - options.first).days + 1)]


def run_night(airflow: Airflow, ds: date, watch: Watch) -> None:
    """Run the DAG for one date and wait for it; NightmillError names the first task that failed."""
    run = airflow.api.start(ds)
    try:
        while (state := airflow.api.state(run)) != "failed":
            watch.update(ds, run, airflow.api.tasks(run))
            if state == "success":
                return
            airflow.services.check()
            time.sleep(POLL_SECONDS)
        watch.update(ds, run, airflow.api.tasks(run))
        raise NightmillError(watch.failure(ds, run))
    except Stopped:
        with contextlib.suppress(NightmillError):
            airflow.api.fail(run)
        raise


def run_dates(settings: Settings, dates: Sequence[date]) -> None:
    """Run the DAG for each date in turn, so that a date finds what the dates before it published."""
    print(f"Airflow is starting for {', '.join(map(str, dates))} ...", flush=True)
    with running(settings, on_schedule=False) as airflow:
        print(f"Airflow is up after {airflow.seconds_to_start:.0f} s: {airflow.url}", flush=True)
        run_dates_on(airflow, dates)


def run_dates_on(airflow: Airflow, dates: Sequence[date]) -> None:
    """Run the DAG for each date in turn on an Airflow that is there."""
    was_paused = airflow.api.pause(False)
    try:
        with Watch(airflow.api, dates) as watch:
            for ds in dates:
                run_night(airflow, ds, watch)
    finally:
        with contextlib.suppress(NightmillError):
            airflow.api.pause(was_paused)


def nightly(arguments: Sequence[str] | None) -> None:
    """What the command does; errors are raised, not printed."""
    settings = load_settings()
    dates = logical_dates(parse(arguments), settings.nightly.dates)
    begin = datetime.now(UTC)
    run_dates(settings, dates)
    root = settings.data_root.expanduser().resolve()
    print(f"\n{render_steps(steps(Store(root), dates, since=begin))}\n")
    print(f"{len(dates)} dates in {(datetime.now(UTC) - begin).total_seconds():.0f} s")
    print(f"recommendations: {root / 'tables' / 'recommendations'}")
    print(f"report:          {root / 'report.html'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return exit_code_of(partial(nightly, arguments))


if __name__ == "__main__":
    sys.exit(main())
