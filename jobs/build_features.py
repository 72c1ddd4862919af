"""build_features: events, catalogue and profiles -> lifetimes, item_features, user_features (Spark SQL).

Windows read the days they span. What looks at all of history (lifetimes) takes over what an earlier night had
counted and adds the days since. So one more night costs its window and one row per entity, however long the
history is.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store import spark
from feature_store.partitions import Partition
from jobs.night import Night
from jobs.publish import code_version, inputs_digest
from jobs.step import Input, Job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OUTPUTS = ("lifetimes", "item_features", "user_features")
LONGEST_WINDOW = timedelta(days=90)


def run(night: Night) -> None:
    """Build the features of every item of the catalogue and of every user with an event before as_of."""
    with (
        spark.session(night.settings) as session,
        night.progress(len(OUTPUTS), "build_features", "table") as progress,
    ):
        known = earlier_lifetimes(night)
        days = events_since(night, known.ds + timedelta(days=1) if known else date.min)
        spark.views(session, {"lifetimes": known.files if known else [], "interactions": days})
        _write(session, night, "lifetimes")
        progress.update(extra="lifetimes")

        inputs = {wanted.table: night.files(wanted.table) for wanted in JOB.inputs}
        inputs["lifetimes"] = night.staged_files("lifetimes")
        # A late event stands in a later partition than its day, never in an earlier one.
        inputs["interactions"] = events_since(night, (night.as_of - LONGEST_WINDOW).date())
        spark.views(session, inputs)
        taken = spark.run_sql(session, "user_items", as_of=night.as_of).cache()
        taken.createOrReplaceTempView("user_items")
        for table in ("item_features", "user_features"):
            _write(session, night, table)
            progress.update(extra=table)
        taken.unpersist()


def _write(session: "SparkSession", night: Night, table: str) -> None:
    rows = spark.run_sql(session, table, **_parameters(night, table))
    night.wrote(table, spark.write(rows, table, night.stage(table), night.provenance_values()))


def _parameters(night: Night, table: str) -> dict[str, Any]:
    """What the `:markers` of a transform stand for."""
    found: dict[str, Any] = {"as_of": night.as_of}
    if table == "lifetimes":
        return found
    found |= {
        "history_start": history_start(night),
        "cold_max_events": night.settings.cold_start.max_events,
    }
    if table == "user_features":
        found |= night.settings.features.model_dump()
    return found


def history_start(night: Night) -> datetime:
    """Where the history begins: the start of the first day with events."""
    first = min((partition.ds for partition in night.inputs["interactions"]), default=night.ds)
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def events_since(night: Night, first: date) -> list[Path]:
    """The files of the days of interactions from `first` on."""
    return [file for part in night.inputs["interactions"] if part.ds >= first for file in part.files]


def earlier_lifetimes(night: Night) -> Partition | None:
    """The newest earlier night whose lifetimes are what this code would make of tonight's own inputs.

    They are a cache: a day that was ingested anew or came later, or other code, and they are not used.
    """
    for partition in reversed(night.store.partitions("lifetimes", night.ds - timedelta(days=1))):
        days = [part for part in night.inputs["interactions"] if part.ds <= partition.ds]
        made_by, made_from = partition.manifest["code_version"], partition.manifest["input_digests"]
        if made_by == code_version() and made_from["interactions"] == inputs_digest(days):
            return partition
    return None


JOB = Job(
    name="build_features",
    summary="events, catalogue and profiles -> lifetimes, item_features, user_features (Spark)",
    inputs=(Input("interactions"), Input("items"), Input("item_profiles"), Input("user_profiles")),
    outputs=OUTPUTS,
    run=run,
    settings=("features", "cold_start"),
)
