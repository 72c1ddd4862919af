"""build_training_set: past lists and what was taken of them -> what a ranker learns from, right in time."""

from feature_store.tables import TABLES
from jobs import training_set
from jobs.night import Night
from jobs.step import Job


def run(night: Night) -> None:
    """Stage training_set and synthetic_pairs."""
    if night.earlier("candidates"):
        training_set.build(night)
        return
    # Nothing to join, and starting Spark to find that out takes longer than all the rest.
    for table in ("training_set", "synthetic_pairs"):
        night.write(table, TABLES[table].schema.empty_table())
    night.note("training_set: empty, there is no earlier night with candidates")


JOB = Job(
    name="build_training_set",
    summary="past lists as of their time, labelled by what was taken -> training set",
    inputs=training_set.TRAINING_INPUTS,
    outputs=("training_set", "synthetic_pairs"),
    run=run,
    settings=("ranker", "recall"),
)
