"""The rows a ranker learns from, with the features that were known when its lists were.

Candidates are joined with item_features, user_features and the embeddings by
feature_store/transforms/pair_features.sql, as of each query's time over earlier nights. `score_rows` runs the
same SQL over one night: what recommend's own join, jobs/scoring_rows.py, is held to and measured by.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store import asof, spark
from feature_store.partitions import Partition
from feature_store.sections import Ranker
from feature_store.tables import TABLES
from jobs.night import Night, end_of
from jobs.step import Input

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEATURES = ("item_features", "user_features", "item_embeddings", "user_embeddings")
JOINED = ("candidates", *FEATURES)
SYNTHETIC = "synthetic_interactions"
# What build_training_set lists as its inputs.
TRAINING_INPUTS = (Input("interactions"), *(Input(table, earlier=True) for table in (*JOINED, SYNTHETIC)))


def windows(nights: Sequence[Partition], as_of: datetime, settings: Ranker) -> list[Partition]:
    """The nights whose lists are learnt from, oldest first: at most ranker.windows of them.

    The horizon of each is over by `as_of`, and they are ranker.horizon_days apart at least, the newest as new
    as it can be.
    """
    horizon = timedelta(days=settings.horizon_days)
    chosen: list[date] = []
    until = as_of
    for ds in sorted({night.ds for night in nights}, reverse=True):
        if end_of(ds) + horizon <= until and len(chosen) < settings.windows:
            chosen.append(ds)
            until = end_of(ds)
    return [night for night in nights if night.ds in chosen]


def build(night: Night) -> None:
    """Stage `training_set`: lists of earlier nights, labelled by what their users took after them.

    A query is one list of a label window (see `windows`). Its features are the newest rows known when the
    list was, whatever their ds, and null where nothing was known. Labels are 1 for items taken between then
    and the end of the window; see transforms/training_pairs.sql for the rows that are kept. Without earlier
    lists or positives the table is empty. What the model imagined is no part of it: see `_stage_imagined`.
    """
    with spark.session(night.settings) as session:
        pairs, counts = label(session, night)
        files = {table: [file for part in night.earlier(table) for file in part.files] for table in FEATURES}
        spark.views(session, files)
        rows = _with_features(session, pairs)
        written = spark.write(rows, "training_set", night.stage("training_set"), night.provenance_values())
        _stage_imagined(session, night)
    night.wrote("training_set", written)
    night.count(selected=written)
    night.note(
        f"training_set: {written:,} rows of {counts['windows']} windows; after {counts['answered']:,} of "
        f"{counts['queries']:,} lists their user took something, {counts['positives']:,} items in all"
    )


def _stage_imagined(session: "SparkSession", night: Night) -> None:
    """Stage `synthetic_pairs`: the synthetic interactions of the label windows, joined as lists are."""
    chosen = {part.ds for part in windows(night.earlier("candidates"), night.as_of, night.settings.ranker)}
    files = [file for part in night.earlier(SYNTHETIC) if part.ds in chosen for file in part.files]
    if not any(pq.read_metadata(file).num_rows for file in files):
        night.write("synthetic_pairs", TABLES["synthetic_pairs"].schema.empty_table())
        return
    spark.views(session, {SYNTHETIC: files})
    pairs = spark.run_sql(session, "synthetic_pairs", weight=night.settings.recall.synthetic_weight)
    rows, folder = _with_features(session, pairs), night.stage("synthetic_pairs")
    night.wrote("synthetic_pairs", spark.write(rows, "synthetic_pairs", folder, night.provenance_values()))


def label(session: "SparkSession", night: Night) -> "tuple[DataFrame, dict[str, int]]":
    """The labelled pairs of a training set without features, and the row of label_counts."""
    ranker, repeats = night.settings.ranker, night.settings.recall.repeats
    chosen = windows(night.earlier("candidates"), night.as_of, ranker)
    candidates = [file for part in chosen for file in part.files]
    spark.views(session, {"candidates": candidates, "interactions": night.files("interactions")})
    queries = spark.run_sql(session, "label_queries", horizon_days=ranker.horizon_days)
    queries.cache().createOrReplaceTempView("label_queries")
    spark.run_sql(session, "taken", repeats=repeats).cache().createOrReplaceTempView("taken")
    counts: dict[str, int] = spark.run_sql(session, "label_counts").first().asDict()
    pairs = spark.run_sql(
        session,
        "training_pairs",
        repeats=repeats,
        seed=ranker.seed,
        valid_users=ranker.valid_users,
        negatives_per_positive=ranker.negatives_per_positive,
    )
    return pairs, counts


def _with_features(session: "SparkSession", pairs: "DataFrame") -> "DataFrame":
    """The pairs with what was known at their query_time and was not older than its table's TTL."""
    sides = [
        asof.Side(name, session.table(name), TABLES[name].key, TABLES[name].ttl_days) for name in FEATURES
    ]
    asof.join(pairs, "query_time", sides).createOrReplaceTempView("pairs")
    return spark.run_sql(session, "pair_features")


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
