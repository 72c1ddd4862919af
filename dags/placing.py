"""Where tasks run, for an executor that has a choice: the Kubernetes executor reads a task's pod template.

GENERATION_POD_TEMPLATE, in the environment of Airflow's DAG processor, names the pods that ask the model, as
those with a GPU (infra/helm/generation-pod.yaml). Other executors take no notice.
"""

import os
from typing import Any


def placed(pool: str) -> dict[str, Any]:
    """The executor_config of a task of this pool."""
    template = os.environ.get("GENERATION_POD_TEMPLATE")
    return {"pod_template_file": template} if template and pool == "generation" else {}
