"""Which task a job runs for, where Airflow's own OpenLineage provider is installed (extra `lineage`).

The provider tells of DAG runs and tasks; the jobs tell of their tables (`jobs/lineage.py`), to the same place
and as children of their tasks.
"""

import json
from typing import Any


def parent_of(context: Any) -> dict[str, str]:
    """The variables by which a job knows its task and where the provider sends to; none without it."""
    try:
        from airflow.providers.openlineage import conf
        from airflow.providers.openlineage.plugins.macros import lineage_parent_id
    except ImportError:
        return {}
    if conf.is_disabled() or "ti" not in context:
        return {}
    return {
        "OPENLINEAGE_PARENT_ID": lineage_parent_id(context["ti"]),
        "OPENLINEAGE_NAMESPACE": conf.namespace(),
        **({"OPENLINEAGE__TRANSPORT": json.dumps(found)} if (found := conf.transport()) else {}),
    }
