"""Secrets of jobs, kept as Airflow's connections: in its database, encrypted, or in whatever backend it asks.

    MODEL_CONNECTION    id of the connection to the `http` engine's server: host, port, password (its key)
    STORE_CONNECTION    id of the AWS connection for `store.remote`: login, password, and of its extra
                        endpoint_url and region_name

Both are variables of Airflow's own environment; without them nothing is asked for. Airflow masks in a task's
log what it hands out.
"""

import os
from collections.abc import Mapping

from airflow.sdk import Connection


def secrets_of_jobs(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables in which jobs look for their secrets; a missing connection is an error."""
    found: dict[str, str | None] = {}
    if name := environ.get("MODEL_CONNECTION"):
        model = Connection.get(name)
        found["NIGHTMILL_GENERATION__HTTP__URL"] = address(model)
        found["NIGHTMILL_GENERATION__HTTP__API_KEY"] = model.password
    if name := environ.get("STORE_CONNECTION"):
        store = Connection.get(name)
        extra = store.extra_dejson
        found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"] = store.login, store.password
        found["AWS_ENDPOINT_URL"] = extra.get("endpoint_url")
        found["AWS_DEFAULT_REGION"] = extra.get("region_name")
    return {variable: value for variable, value in found.items() if value}


def address(server: Connection) -> str:
    """The URL of an OpenAI-compatible server: read as Airflow's HTTP hook does, with /v1 behind it."""
    host = server.host or ""
    base = host if "://" in host else f"{server.schema or 'http'}://{host}"
    return f"{base}:{server.port}/v1" if server.port else f"{base}/v1"
