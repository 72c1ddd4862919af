"""`python -m infra.airflow.nightly`: run the nightly DAG for some dates through Airflow, then stop it again."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import NightmillError, UsageError
from feature_store.settings import load_settings
from infra.airflow.running import Airflow, Stopped, running
from infra.airflow.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feature_store.sections import Settings


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m infra.airflow.nightly", description=__doc__)
    parser.add_argument("--dates", nargs="+", metavar="DATE", help="logical dates, as 2026-01-31")
    parser.add_argument("--from", dest="first", metavar="DATE", help="first logical date of a range")
    parser.add_argument("--to", dest="last", metavar="DATE", help="last logical date of a range")
    return parser.parse_args(arguments)


def logical_dates(options: argparse.Namespace, default: Sequence[date]) -> list[date]:
    """The dates to run, oldest first; UsageError when they are malformed or contradict each other."""
    if (options.first is None) != (options.last is None):
        raise UsageError("--from and --to go together; give both or use --dates")
    if options.dates and options.first:
        raise UsageError("give --dates or a range from --from to --to, not both")
    if options.dates:
        return sorted({_date(text) for text in options.dates})
    if options.first is None:
        return sorted(default)
    first, last = _date(options.first), _date(options.last)
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}; swap them")
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date; write it as 2026-01-31") from None


def run_night(airflow: Airflow, ds: date, watch: Watch) -> None:
    """Run the DAG for one date and wait for it; NightmillError names the first task that failed."""
    run = airflow.api.start(ds)
    try:
        while True:
            state = airflow.api.state(run)
            watch.update(ds, run, airflow.api.tasks(run))
            if state == "success":
                return
            if state == "failed":
                raise NightmillError(watch.failure(ds, run))
            airflow.services.check()
            time.sleep(0.5)
    except Stopped:
        airflow.api.fail(run)
        raise


def run_dates(settings: Settings, dates: Sequence[date]) -> None:
    """Run the DAG for each date in turn, so that a date finds what the dates before it published."""
    print(f"Airflow is starting for {', '.join(map(str, dates))} ...", flush=True)
    with running(settings, on_schedule=False) as airflow:
        print(f"Airflow is up after {airflow.seconds_to_start:.0f} s: {airflow.url} (logs in {airflow.home / 'logs'})")
        was_paused = airflow.api.pause(False)
        try:
            with Watch(airflow.api, dates) as watch:
                for ds in dates:
                    run_night(airflow, ds, watch)
        finally:
            airflow.api.pause(was_paused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        settings = load_settings()
        dates = logical_dates(parse(arguments), settings.nightly.dates)
        run_dates(settings, dates)
    except NightmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Stopped as stopped:
        print(f"stopped by {stopped}; the same command goes on where it was", file=sys.stderr)
        return stopped.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
