"""What a table's contract is made of: types, columns, and the columns every row carries."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

TEXT = pa.string()
TEXTS = pa.list_(pa.string())
FLAG = pa.bool_()
INTEGER = pa.int64()
NUMBER = pa.float64()
NUMBERS = pa.list_(pa.float64())
VECTOR = pa.list_(pa.float32())
DAY = pa.date32()
TIME = pa.timestamp("us", tz="UTC")

REFUSALS = (
    "truncated",
    "invalid_json",
    "schema_mismatch",
    "ungrounded",
    "unsafe",
    "engine_error",
    "over_budget",
    "malformed",
)


# What a ranker may learn from, by where it comes from; the GENERATED ones have to prove what they are worth.
GROUPS = ("behaviour", "recall", "item_text", "user_text", "embeddings", "synthetic")
GENERATED = ("item_text", "user_text", "embeddings", "synthetic")


@dataclass(frozen=True)
class Column:
    """One column: its type, whether it may be null, what its values may be, and who made them.

    unit: what a number counts or measures, where its name does not say so. categorical: a text out of a
    vocabulary, so that the shares of its values mean something. ages: it grows by a day each day whatever
    happens, so that its drift says nothing. group: of a feature, one of GROUPS.
    """

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    max_length: int | None = None
    from_model: bool = False
    unit: str = ""
    categorical: bool = False
    ages: bool = False
    group: str = "behaviour"


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    kind: `event` tables hold what arrived for one night and are read as the union of all nights up to a ds;
    `snapshot` tables hold the whole state as of their ds. in_order: pairs of columns of which the first is
    never later (or larger) than the second. coverage: the share of the rows a job selected that must have
    been written or carried forward, else the partition is not published. fresh_days: how many days the newest
    partition (of an event table: the newest that has rows) may be behind the night that is looked at, before
    the table counts as stale; see feature_store/freshness.py. drift: whether its columns are compared with
    the partition before, see feature_store/drift.py. ttl_days: how old a row may be, from its as_of to the
    moment it is used for (exactly so old is not too old), None: any age; see feature_store/asof.py.
    """

    name: str
    job: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    kind: Literal["event", "snapshot"] = "snapshot"
    in_order: tuple[tuple[str, str], ...] = ()
    coverage: float = 0.0
    fresh_days: int = 1
    drift: bool = False
    ttl_days: int | None = None

    @property
    def schema(self) -> pa.Schema:
        """The Parquet schema, provenance columns included."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.all_columns])

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The declared columns and those every row carries."""
        return self.columns + (ARRIVAL if self.kind == "event" else PROVENANCE)


ARRIVAL = (
    Column("ds", DAY, "the night the event arrived for: that of its own day, a later one if it came late"),
    Column("ingested_at", TIME, "from when that night's events could be known"),
)
PROVENANCE = (
    Column("ds", DAY, "the logical date of the partition"),
    Column("as_of", TIME, "end of ds, UTC: nothing at or after it was read"),
    Column("input_max_event_time", TIME, "newest event the row was made from", nullable=True),
    Column("generated_at", TIME, "when the run that wrote the row started"),
    Column("known_at", TIME, "from when the row may be used for a prediction"),
    Column("run_id", TEXT, "the run that wrote the row"),
)

# Kept beside the runs of every job, not as partitions of their own.
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("ds", DAY, False),
        pa.field("job", TEXT, False),
        pa.field("table", TEXT, False),
        pa.field("entity_id", TEXT, False),
        pa.field("reason", TEXT, False),
        pa.field("detail", TEXT, False),
        pa.field("raw", TEXT, True),
        pa.field("generation_key", TEXT, True),
        pa.field("run_id", TEXT, False),
    ]
)

# The answers of the model, whichever job asked. The columns that may be null came later: parts written
# before lack them, except choice_probabilities, which is null where no choice was asked for.
GENERATIONS_SCHEMA = pa.schema(
    [
        pa.field("key", TEXT, False),
        pa.field("prompt_name", TEXT, False),
        pa.field("prompt_version", TEXT, False),
        pa.field("prompt_hash", TEXT, False),
        pa.field("model_id", TEXT, False),
        pa.field("model_revision", TEXT, False),
        pa.field("text", TEXT, False),
        pa.field("finish_reason", TEXT, False),
        pa.field("prompt_tokens", INTEGER, False),
        pa.field("cached_tokens", INTEGER, False),
        pa.field("output_tokens", INTEGER, False),
        pa.field("choice_probabilities", TEXT, True),
        pa.field("seconds", NUMBER, False),
        pa.field("created_at", TIME, False),
        pa.field("quantization", TEXT, True),
        pa.field("adapter", TEXT, True),
        pa.field("max_tokens", INTEGER, True),
        pa.field("temperature", NUMBER, True),
        pa.field("seed", INTEGER, True),
        pa.field("cut_fields", TEXTS, True),
        pa.field("user_id", TEXT, True),
    ]
)

# What the manifest beside every run says, as far as SQL has a use for it.
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("table", TEXT),
        pa.field("ds", DAY),
        pa.field("job", TEXT),
        pa.field("run_id", TEXT),
        pa.field("fingerprint", TEXT),
        pa.field("code_version", TEXT),
        pa.field("time_mode", TEXT),
        pa.field("rows", pa.struct({"written": INTEGER, "quarantined": pa.map_(TEXT, INTEGER)})),
        pa.field("counts", pa.map_(TEXT, INTEGER)),
        pa.field(
            "drift",
            pa.struct({"ds": DAY, "columns": pa.map_(TEXT, pa.struct({"psi": NUMBER, "chance": NUMBER}))}),
        ),
        pa.field("notes", TEXTS),
        pa.field("seconds", NUMBER),
        pa.field("started_at", TIME),
        pa.field("finished_at", TIME),
    ]
)

# What every run asked and paid; jobs/llm/ledger.py writes it.
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("ds", DAY),
        pa.field("job", TEXT),
        pa.field("run_id", TEXT),
        pa.field("prompt_name", TEXT),
        pa.field("model_id", TEXT),
        pa.field("engine", TEXT),
        pa.field("shard", TEXT),
        pa.field("asked", INTEGER),
        pa.field("prompt_tokens", INTEGER),
        pa.field("cached_tokens", INTEGER),
        pa.field("output_tokens", INTEGER),
        pa.field("seconds", NUMBER),
        pa.field("updated_at", TIME),
    ]
)
