"""Spark's standalone master and its workers, on the loopback only, with a secret between all of them."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from feature_store.spark import require_java
from infra.airflow.home import HOST
from infra.airflow.services import Service
from infra.cluster.passwords import write_private

WORKERS = 2
CORES_EACH = 1
MEMORY_EACH = "1g"


@dataclass(frozen=True)
class SparkCluster:
    """One master with its page, and its workers."""

    folder: Path
    port: int
    page_port: int

    @property
    def master(self) -> str:
        """What NIGHTMILL_SPARK__MASTER has to be."""
        return f"spark://{HOST}:{self.port}"

    @property
    def page(self) -> str:
        """The address of the master's page."""
        return f"http://{HOST}:{self.page_port}"

    def for_jobs(self) -> dict[str, str]:
        """The variables of a job that is to use this cluster."""
        return {
            "NIGHTMILL_SPARK__MASTER": self.master,
            "SPARK_CONF_DIR": str(self.folder / "conf"),
            "SPARK_LOCAL_IP": HOST,
        }

    def prepare(self) -> None:
        """Write the configuration that master, workers and jobs share, with a new secret."""
        require_java(os.environ)
        (self.folder / "work").mkdir(parents=True, exist_ok=True)
        configuration = {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secrets.token_urlsafe(32),
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.executor.memory": MEMORY_EACH,
            "spark.executor.cores": str(CORES_EACH),
            "spark.worker.cleanup.enabled": "true",
        }
        lines = [f"{name} {value}\n" for name, value in configuration.items()]
        write_private(self.folder / "conf" / "spark-defaults.conf", "".join(lines))

    def services(self, env: Mapping[str, str]) -> list[Service]:
        """The master and its workers."""
        import pyspark

        home = Path(pyspark.__path__[0])
        run = str(home / "bin" / "spark-class")
        shared = {**env, **self.for_jobs(), "SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "384m"}
        at = ["--host", HOST]
        ports = ["--port", str(self.port), "--webui-port", str(self.page_port)]
        master = Service("spark-master", [run, "org.apache.spark.deploy.master.Master", *at, *ports], shared)
        size = ["--cores", str(CORES_EACH), "--memory", MEMORY_EACH, "--webui-port", "0"]
        worker = [run, "org.apache.spark.deploy.worker.Worker", *at, *size]
        worker += ["--work-dir", str(self.folder / "work"), self.master]
        return [master, *(Service(f"spark-worker-{n}", worker, shared) for n in range(1, WORKERS + 1))]

    def healthy(self) -> bool:
        """Whether the master is there with all its workers."""
        try:
            state = httpx.get(f"{self.page}/json/", timeout=5.0, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        alive = [worker for worker in state["workers"] if worker["state"] == "ALIVE"]
        return state["status"] == "ALIVE" and len(alive) == WORKERS
