from collections.abc import Callable
from typing import Any

import pytest

# The two modules of Airflow's provider that are asked, as apache-airflow-providers-openlineage 2.20 has them.
PROVIDER = """
import sys, types
conf = types.ModuleType("airflow.providers.openlineage.conf")
conf.is_disabled = lambda: {disabled}
conf.namespace = lambda: "production"
conf.transport = lambda: {{"type": "http", "url": "http://marquez:5000"}}
package = types.ModuleType("airflow.providers.openlineage")
package.conf, package.__path__ = conf, []
macros = types.ModuleType("airflow.providers.openlineage.plugins.macros")
macros.lineage_parent_id = lambda ti: f"production/nightly.{{ti}}/01941f29-7c00-7087-8940-40e512257bd1"
plugins = types.ModuleType("airflow.providers.openlineage.plugins")
plugins.__path__ = []
for module in (package, conf, plugins, macros):
    sys.modules[module.__name__] = module
"""
ASK = "from lineage_parent import parent_of\nresult = parent_of({'ti': 'embed'})"


@pytest.mark.airflow
def test_without_the_provider_a_job_is_told_nothing(in_airflow: Callable[..., Any]) -> None:
    assert in_airflow(ASK) == {}


@pytest.mark.airflow
def test_a_job_is_the_child_of_its_task_and_sends_where_the_provider_sends(
    in_airflow: Callable[..., Any],
) -> None:
    assert in_airflow(PROVIDER.format(disabled=False) + ASK) == {
        "OPENLINEAGE_PARENT_ID": "production/nightly.embed/01941f29-7c00-7087-8940-40e512257bd1",
        "OPENLINEAGE_NAMESPACE": "production",
        "OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://marquez:5000"}',
    }


@pytest.mark.airflow
def test_a_provider_that_is_switched_off_counts_for_none(in_airflow: Callable[..., Any]) -> None:
    assert in_airflow(PROVIDER.format(disabled=True) + ASK) == {}
