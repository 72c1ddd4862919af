"""`python -m infra.airflow.serve`: Airflow's scheduler and UI on this machine until Ctrl-C."""

from __future__ import annotations

import sys
import time

from feature_store.errors import NightmillError
from feature_store.settings import load_settings
from infra.airflow.running import Stopped, running


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        print("Airflow is starting ...", flush=True)
        with running(load_settings(), on_schedule=True) as airflow:
            print(f"{airflow.url}/dags/nightly  (logs in {airflow.home / 'logs'}; Ctrl-C stops everything)", flush=True)
            while True:
                airflow.services.check()
                time.sleep(1.0)
    except NightmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Stopped:
        print("Airflow has stopped.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
