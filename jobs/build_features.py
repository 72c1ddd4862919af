"""build_features: events, catalogue and profiles -> item_features, user_features, through Spark SQL."""

from datetime import UTC, datetime

from feature_store import spark
from jobs.night import Night
from jobs.step import Input, Job

OUTPUTS = ("item_features", "user_features")


def run(night: Night) -> None:
    """Build the features of every item of the catalogue and of every user with an event before as_of."""
    inputs = {wanted.table: night.files(wanted.table) for wanted in JOB.inputs}
    with (
        spark.session(night.settings) as session,
        night.progress(len(OUTPUTS), "build_features", "table") as progress,
    ):
        spark.views(session, inputs)
        for table in OUTPUTS:
            rows = spark.run_sql(session, table, as_of=night.as_of, history_start=history_start(night))
            night.wrote(table, spark.write(rows, table, night.stage(table), night.provenance_values()))
            progress.update(extra=table)


def history_start(night: Night) -> datetime:
    """Where the history begins: the start of the first day that was ever ingested."""
    first = min(partition.ds for partition in night.inputs["interactions"])
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


JOB = Job(
    name="build_features",
    summary="events, catalogue and profiles -> item_features, user_features (Spark)",
    inputs=(Input("interactions"), Input("items"), Input("item_profiles"), Input("user_profiles")),
    outputs=OUTPUTS,
    run=run,
)
