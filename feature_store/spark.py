"""The Spark session and what every transform needs of it: contract views, SQL files, contract Parquet.

The SQL lives in feature_store/transforms/<name>.sql; each file's header states its grain, keys and windows.
"""

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from feature_store.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TRANSFORMS = Path(__file__).with_name("transforms")
LOGGING = Path(__file__).with_name("log4j2.properties")
OLDEST_JAVA = 17
INSTALL_JAVA = (
    "install one with `sudo apt-get install -y openjdk-17-jre-headless` (macOS: `brew install openjdk@17`)"
)
# More daily files than this would be listed by a Spark job of their own.
LISTED_BY_DRIVER = 10_000


def require_java(environ: Mapping[str, str]) -> None:
    """Raise NightmillError with the install command unless Java 17 or newer can be started."""
    home = environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    if java is None or not Path(java).exists():
        where = f"under JAVA_HOME={home}" if home else "on PATH"
        raise NightmillError(
            f"Spark needs Java {OLDEST_JAVA} or newer and there is no java {where}: {INSTALL_JAVA}"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None or int(match[1]) < OLDEST_JAVA:
        found = match[1] if match else "of an unknown version"
        raise NightmillError(
            f"Spark needs Java {OLDEST_JAVA} or newer and {java} is Java {found}: {INSTALL_JAVA}"
        )


@contextmanager
def session(settings: Settings) -> "Iterator[SparkSession]":
    """A Spark session on the master the settings name, stopped at the end of the block that started it.

    A block inside another shares its session. Times are UTC and microseconds, as in the contracts.
    NightmillError where Java is missing.
    """
    require_java(os.environ)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    with warnings.catch_warnings():
        # Its pandas bridge is behind pandas 3; rows leave Spark as Parquet files and never through it.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        from pyspark.sql import SparkSession

        running = SparkSession.getActiveSession()
        spark = running or _start(SparkSession.builder.appName("nightmill"), settings)
    try:
        yield spark
    except Exception as error:
        if reason := _reason(error):
            raise NightmillError(f"Spark failed: {reason}") from error
        raise
    finally:
        if running is None:
            spark.stop()


def _reason(error: Exception) -> str | None:
    """The innermost cause of an error of Spark's, in one line; None for any other error."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if not isinstance(error, Py4JError | PySparkException):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return [*lines[:1], *causes][-1] if lines else type(error).__name__


def _start(builder: Any, settings: Settings) -> "SparkSession":
    for key, value in _configuration(settings).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _configuration(settings: Settings) -> dict[str, str]:
    found = {
        "spark.master": settings.spark.master,
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.driver.extraJavaOptions": (
            f"-Duser.timezone=UTC -Dlog4j2.configurationFile={LOGGING.as_uri()} {settings.spark.java_options}"
        ),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": str(LISTED_BY_DRIVER),
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if settings.spark.master.startswith("local"):
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    else:
        # Times without a zone are read in the executor's own.
        options = f"-Duser.timezone=UTC {settings.spark.java_options}"
        found |= {"spark.executor.extraJavaOptions": options}
    return found


def views(spark: "SparkSession", files: Mapping[str, list[Path]]) -> None:
    """Make each contract table readable by its name in SQL; without files it is empty, with its schema."""
    for name, paths in files.items():
        schema = ddl(TABLES[name].schema)
        if paths:
            rows = spark.read.schema(schema).parquet(*(str(path) for path in paths))
        else:
            rows = spark.createDataFrame([], schema)
        rows.createOrReplaceTempView(name)


def run_sql(spark: "SparkSession", name: str, **parameters: Any) -> "DataFrame":
    """Run transforms/<name>.sql; `:parameter` markers are bound as values, never pasted into the text."""
    return spark.sql((TRANSFORMS / f"{name}.sql").read_text("utf-8"), args=parameters)


def write(rows: "DataFrame", table: str, folder: Path, provenance: Mapping[str, Any]) -> int:
    """Write rows as part-*.parquet with the contract's schema, in key order; returns how many.

    `provenance` holds the columns that are the same in every row (ds, as_of, generated_at, known_at, run_id).
    """
    from pyspark.sql import functions

    contract = TABLES[table]
    for name, value in provenance.items():
        rows = rows.withColumn(name, functions.lit(value))
    exact = rows.select(
        *(
            functions.col(field.name).cast(_sql_type(field.type)).alias(field.name)
            for field in contract.schema
        )
    )
    return sum(_rows(file) for file in write_parts(exact.orderBy(*contract.key), folder))


def write_parts(rows: "DataFrame", folder: Path) -> list[Path]:
    """Write rows into a folder as part-00000.parquet, part-00001.parquet ... in the order they have."""
    staging = folder / "_spark"
    rows.write.mode("overwrite").parquet(str(staging))
    parts = []
    for number, file in enumerate(sorted(staging.glob("part-*.parquet"))):
        parts.append(file.rename(folder / f"part-{number:05d}.parquet"))
    shutil.rmtree(staging)
    return parts


def _rows(file: Path) -> int:
    return int(pq.read_metadata(file).num_rows)


def ddl(schema: pa.Schema) -> str:
    """A Parquet schema in the words of Spark's DDL."""
    return ", ".join(f"`{field.name}` {_sql_type(field.type)}" for field in schema)


def _sql_type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"ARRAY<{_sql_type(type_.value_type)}>"
    names = {"string": "STRING", "bool": "BOOLEAN", "int64": "BIGINT", "double": "DOUBLE", "float": "FLOAT"}
    names |= {"date32[day]": "DATE", "timestamp[us, tz=UTC]": "TIMESTAMP"}
    return names[str(type_)]
