"""`python -m infra.docker.first_start`: Airflow's database and pools; to run it again does no harm."""

import subprocess
import sys

from infra.airflow.home import POOLS


def commands() -> list[list[str]]:
    """What is to be run, in order."""
    airflow = [sys.executable, "-m", "airflow"]
    pools = [[*airflow, "pools", "set", name, str(slots), "Nightmill"] for name, slots in POOLS.items()]
    return [[*airflow, "db", "migrate"], *pools]


if __name__ == "__main__":
    for command in commands():
        subprocess.run(command, check=True)
