"""The rows a ranker learns from and the rows it scores, made by the same SQL.

Both join candidates with item_features, user_features and the embeddings by
feature_store/transforms/pair_features.sql: training as of each query's time over earlier nights, scoring over
the partitions of the night itself.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store import asof, spark
from feature_store.partitions import read
from feature_store.tables import TABLES
from jobs.night import Night
from jobs.step import Input

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEATURES = ("item_features", "user_features", "item_embeddings", "user_embeddings")
JOINED = ("candidates", *FEATURES)
# What train_ranker and recommend list as their inputs.
TRAINING_INPUTS = (Input("interactions"), *(Input(table, earlier=True) for table in JOINED))
SCORING_INPUTS = tuple(Input(table) for table in JOINED)


def build(night: Night) -> None:
    """Stage `training_set`: candidates of earlier nights, labelled by what happened before as_of.

    A query is a user's first event of a day within ranker.label_days before as_of. Its candidates and every
    feature are the newest rows known at the query's time, whatever their ds, and null where nothing was
    known. Labels are 1 for items the user took within ranker.horizon_days (and before as_of);
    ranker.negatives_per_positive others are drawn for each. Without earlier candidates or positives the
    table is empty.
    """
    files = {table: [file for part in night.earlier(table) for file in part.files] for table in JOINED}
    with spark.session(night.settings) as session:
        spark.views(session, files | {"interactions": night.files("interactions")})
        pairs, counts = _label(session, night)
        rows = _with_features(session, pairs)
        written = spark.write(rows, "training_set", night.stage("training_set"), night.provenance_values())
    night.wrote("training_set", written)
    _report(night, counts)


def _label(session: "SparkSession", night: Night) -> "tuple[DataFrame, dict[str, int]]":
    """The labelled pairs of a training set, and the row of label_counts."""
    ranker = night.settings.ranker
    queries = spark.run_sql(
        session,
        "label_queries",
        as_of=night.as_of,
        label_days=ranker.label_days,
        horizon_days=ranker.horizon_days,
    )
    lists = session.table("candidates").select("user_id", "known_at", "as_of").distinct()
    list_ = asof.Side("list", lists, ("user_id",), TABLES["candidates"].ttl_days)
    asof.join(queries, "query_time", [list_]).cache().createOrReplaceTempView("label_queries")
    taken = spark.run_sql(session, "first_taken", as_of=night.as_of)
    taken.cache().createOrReplaceTempView("first_taken")
    counts: dict[str, int] = spark.run_sql(session, "label_counts").first().asDict()
    pairs = spark.run_sql(
        session, "training_pairs", seed=ranker.seed, negatives_per_positive=ranker.negatives_per_positive
    )
    return pairs, counts


def _with_features(session: "SparkSession", pairs: "DataFrame") -> "DataFrame":
    """The pairs with what was known at their query_time and was not older than its table's TTL."""
    sides = [
        asof.Side(name, session.table(name), TABLES[name].key, TABLES[name].ttl_days) for name in FEATURES
    ]
    asof.join(pairs, "query_time", sides).createOrReplaceTempView("pairs")
    return spark.run_sql(session, "pair_features")


def _report(night: Night, counts: dict[str, int]) -> None:
    rows = read("training_set", night.staged_files("training_set"), ["user_id", "query_time", "label_time"])
    groups = rows.group_by(["user_id", "query_time"]).aggregate([]).num_rows
    found = rows.num_rows - rows["label_time"].null_count
    night.note(
        f"training_set: {rows.num_rows:,} rows of {groups:,} queries; {counts['answered']:,} of "
        f"{counts['queries']:,} queries had candidates known at their time, with {found:,} of the "
        f"{counts['positives']:,} items taken after them"
    )


@contextmanager
def score_rows(night: Night) -> Iterator[list[Path]]:
    """The candidates of the night with every feature a ranker may ask for, as Parquet files on disk.

    Columns: user_id, item_id, query_time, score, rank, channels, CHANNEL_COLUMNS, ITEM_FEATURES,
    USER_FEATURES, PAIR_FEATURES (null where nothing is known), features_known_at, input_max_event_time.
    Files are in order of user_id, rank; a user's rows are in one file, so that files can be scored one at a
    time. They are removed at the end of the block.
    """
    folder = night.store.root / "scratch" / f"score-{night.run_id}"
    folder.mkdir(parents=True)
    try:
        with spark.session(night.settings) as session:
            spark.views(session, {table: night.files(table) for table in JOINED})
            pairs = spark.run_sql(session, "scoring_pairs", query_time=_known_at(night))
            rows = _with_features(session, pairs)
            files = spark.write_parts(
                rows.repartitionByRange("user_id").sortWithinPartitions("user_id", "rank"), folder
            )
        yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _known_at(night: Night) -> datetime:
    """The moment when every row of the night's tables is known."""
    files = [file for table in JOINED for file in night.files(table)]
    newest = (
        pc.max(pq.read_table(file, columns=["known_at"], partitioning=None)["known_at"]).as_py()
        for file in files
    )
    return max((moment for moment in newest if moment is not None), default=night.known_at)
