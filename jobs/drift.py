"""The drift gate: what a job staged against the partition before it, as `[drift]` of the settings says.

A partition before it is the newest of an earlier ds that is published by now; a backfill that goes backwards
has none. What was found is kept in the manifest, the rows do not depend on it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from feature_store import drift
from feature_store.errors import GateRefused
from feature_store.partitions import Partition
from feature_store.tables import TABLES
from jobs.night import Night

SHOWN = 5


def check(night: Night, table: str) -> dict[str, Any] | None:
    """What the manifest says of a staged table's drift; notes or refuses where a column moved too far.

    None where there is nothing to compare: a table that is not watched, a first night, an empty partition.
    """
    earlier = night.store.partitions(table, night.ds - timedelta(days=1))
    if not TABLES[table].drift or not earlier:
        return None
    shifts = drift.compare(TABLES[table], earlier[-1].files, night.staged_files(table))
    if not shifts:
        return None
    _judge(night, table, earlier[-1], shifts)
    columns = {name: {k: round(v, 4) for k, v in asdict(shift).items()} for name, shift in shifts.items()}
    return {"ds": earlier[-1].ds, "run_id": earlier[-1].run_id, "columns": columns}


def _judge(night: Night, table: str, earlier: Partition, shifts: Mapping[str, drift.Shift]) -> None:
    settings = night.settings.drift
    if settings.refuse and (far := _listed(shifts, settings.refuse)):
        raise GateRefused(
            f"{table} for {night.ds} was not published: since {earlier.ds} more than drift.refuse = "
            f"{settings.refuse:g} has moved (PSI) {far}; mend what it reads, or raise drift.refuse (0 = off)"
        )
    if settings.warn and (far := _listed(shifts, settings.warn)):
        night.note(
            f"{table}: since {earlier.ds} more than drift.warn = {settings.warn:g} has moved (PSI) {far}"
        )


def _listed(shifts: Mapping[str, drift.Shift], threshold: float) -> str:
    """The columns beyond a threshold, furthest first; empty where there are none."""
    far = sorted((-shift.psi, name) for name, shift in shifts.items() if shift.exceeds(threshold))
    named = ", ".join(f"{name} ({-psi:.2f})" for psi, name in far[:SHOWN])
    return f"{named} and {len(far) - SHOWN} more" if len(far) > SHOWN else named
