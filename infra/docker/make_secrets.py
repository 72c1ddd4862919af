"""`python -m infra.docker.make_secrets`: the passwords and keys of a Compose deployment, made once.

    FOLDER/database/password           PostgreSQL's
    FOLDER/airflow/variables.json      Airflow's database, keys and the model server's key (see entrypoint.py)
    FOLDER/airflow/passwords.json      the users of the UI, admin, operator and viewer
    FOLDER/model/variables.json        the model server's key
    FOLDER/spark/spark-defaults.conf   what master, workers and jobs share

Each service mounts its own folder only. Files are 0600 and of the image's user.
"""

import base64
import json
import secrets
import sys
from pathlib import Path

from infra.cluster.passwords import passwords, write_private
from infra.cluster.running import USERS


def make(folder: Path, database: str = "postgres") -> None:
    """Write what is not there yet; database: the host of PostgreSQL."""
    password = _once(folder / "database" / "password", secrets.token_urlsafe(32))
    model_key = _once(folder / "model" / "key", secrets.token_urlsafe(32))
    _once(folder / "model" / "variables.json", json.dumps({"VLLM_API_KEY": model_key}))
    variables = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow:{password}@{database}/airflow",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "NIGHTMILL_GENERATION__HTTP__API_KEY": model_key,
    }
    _once(folder / "airflow" / "variables.json", json.dumps(variables))
    passwords(folder / "airflow" / "passwords.json", USERS)
    lines = f"spark.authenticate true\nspark.authenticate.secret {secrets.token_urlsafe(32)}\n"
    _once(folder / "spark" / "spark-defaults.conf", lines)


def _once(path: Path, text: str) -> str:
    if not path.exists():
        write_private(path, text)
    return path.read_text("utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
