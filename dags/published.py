"""What a job left behind: the manifests of the partitions it has published for a date."""

import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_store.partitions import Store

SAID = ("prompt_name", "prompt_version", "prompt_hash", "model_id", "model_revision")


def open_store_of(environment: Mapping[str, str]) -> "Store":
    """The store of a job that was given `environment` beside this process's own: it may name another root."""
    # Here, since a DAG file that is only parsed has no use for them.
    from feature_store.remote import open_store
    from feature_store.settings import load_settings

    return open_store(load_settings({**os.environ, **environment}))


def published(tables: Iterable[str], ds: str, environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What is published of each table for ds, by table; a table without a partition is left out."""
    store = open_store_of(environment)
    found = {table: store.published(table, date.fromisoformat(ds)) for table in tables}
    return {table: _account(part.manifest) for table, part in found.items() if part is not None}


def renewed(since: datetime, environment: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """What was published since a moment of tables that are made from earlier nights: table, account."""
    from jobs.backfill import stages
    from jobs.chain import load_job

    store = open_store_of(environment)
    tables = [table for job in stages()[1] for table in load_job(job).outputs]
    partitions = (partition for table in tables for partition in store.partitions(table))
    return [(p.table, _account(p.manifest)) for p in partitions if p.finished_at >= since]


def _account(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The lines of a manifest that somebody who looks at a run wants to know."""
    said = {name: value for name in SAID if (value := manifest["provenance"].get(name)) is not None}
    same = {name: manifest[name] for name in ("ds", "run_id", "finished_at", "incomplete") if manifest[name]}
    return {**same, "rows": manifest["rows"]["written"], **said}


def in_words(table: str, account: Mapping[str, Any]) -> str:
    """One line about a published table."""
    parts = [f"{table} of {account['ds']}: {account['rows']:,} rows, run {account['run_id']}"]
    if "prompt_name" in account:
        parts.append(f"prompt {account['prompt_name']}/v{account['prompt_version']}")
    if "model_id" in account:
        revision = account.get("model_revision")
        parts.append(f"model {account['model_id']}" + (f"@{revision}" if revision else ""))
    if "incomplete" in account:
        parts.append(f"not complete: {account['incomplete']}")
    return ", ".join(parts)
