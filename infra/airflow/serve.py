"""`python -m infra.airflow.serve`: Airflow's scheduler and UI on this machine until Ctrl-C."""

import signal
import sys
import time

from feature_store.settings import load_settings
from infra.airflow.running import exit_code_of, running
from jobs.assets import DATASETS


def serve() -> None:
    """Start Airflow, say where it is and wait."""
    settings = load_settings()
    print("Airflow is starting ...", flush=True)
    with running(settings, on_schedule=True) as airflow:
        print(f"{airflow.url}/dags/nightly is ready after {airflow.seconds_to_start:.0f} s; Ctrl-C stops it")
        if settings.source.location not in DATASETS:
            print("Once the DAG is unpaused it runs every night.", flush=True)
        else:
            print("The built-in data gets no new nights: unpause the DAG and trigger a backfill.", flush=True)
        print(f"What a night took and cost: on its run's page and {airflow.url}/nightmill/night", flush=True)
        while True:
            airflow.services.check()
            time.sleep(1.0)


def main() -> int:
    """Entry point; returns the exit code, 0 when a person stopped it."""
    code = exit_code_of(serve)
    return 0 if code == 128 + signal.SIGINT else code


if __name__ == "__main__":
    sys.exit(main())
