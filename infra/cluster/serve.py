"""`python -m infra.cluster.serve`: PostgreSQL, Spark, vLLM and Airflow on this machine until Ctrl-C."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial

from feature_store.settings import load_settings
from infra.airflow.home import HOST
from infra.airflow.nightly import run_dates_on
from infra.airflow.running import exit_code_of
from infra.cluster.running import USERS, Cluster, running
from jobs.arguments import Parser, parse_ds

ENGINES = ("http", "fake", "none")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's arguments."""
    parser = Parser(prog="python -m infra.cluster.serve", description=__doc__)
    parser.add_argument(
        "--dates", nargs="+", type=parse_ds, metavar="DATE", help="run the nightly DAG for these and stop"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="http",
        help="http: a vLLM server of its own; the others: no model",
    )
    parser.add_argument("--host", default=HOST, help="where Airflow listens; the rest stays on the loopback")
    return parser.parse_args(arguments)


def describe(cluster: Cluster) -> str:
    """Where everything is, and how to get in."""
    lines = {
        "Airflow": f"{cluster.airflow.url}/dags/nightly",
        "users": f"{', '.join(USERS)}; their passwords: {cluster.passwords}",
        "PostgreSQL": f"{HOST}:{cluster.postgres.port}",
        "Spark": f"{cluster.spark.master}, its page: {cluster.spark.page}",
        "model server": cluster.model.url if cluster.model else "none",
        "logs": f"{cluster.airflow.home / 'logs'}",
    }
    return "\n".join(f"  {name:<13} {text}" for name, text in lines.items())


def serve(arguments: Sequence[str] | None) -> None:
    """What the command does; errors are raised, not printed."""
    options = parse(arguments)
    settings = load_settings()
    print("PostgreSQL, Spark, the model server and Airflow are starting ...", flush=True)
    with running(settings, options.engine, options.host, on_schedule=not options.dates) as cluster:
        print(f"all healthy after {cluster.seconds_to_start:.0f} s:\n{describe(cluster)}", flush=True)
        if options.dates:
            run_dates_on(cluster.airflow, sorted(set(options.dates)))
            return
        print("Ctrl-C stops all of it.", flush=True)
        while True:
            cluster.supervisor.check()
            time.sleep(1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, 0 when a person stopped it."""
    code = exit_code_of(partial(serve, arguments))
    return 0 if code == 128 + signal.SIGINT else code


if __name__ == "__main__":
    sys.exit(main())
