"""Waiting for runs of other DAGs, without a worker while nothing has changed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context

UNDER_WAY = ("queued", "running")


class NothingUnderWaySensor(BaseSensorOperator):
    """Wait until no run of some DAGs is queued or running, whatever its date and whoever began it."""

    def __init__(self, *, dags: Sequence[str], **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.dags = tuple(dags)

    def poke(self, context: Context) -> bool:
        """Whether there is none."""
        ti = context["ti"]
        found = {dag: ti.get_dr_count(dag_id=dag, states=list(UNDER_WAY)) for dag in self.dags}
        self.log.info("queued or running: %s", ", ".join(f"{n} of {dag}" for dag, n in found.items()))
        return not any(found.values())


def waits(hours: float) -> dict[str, Any]:
    """What waiting tasks have in common: they look twice a minute, and are not tried again."""
    return {"poke_interval": 30.0, "timeout": timedelta(hours=hours), "retries": 0}
