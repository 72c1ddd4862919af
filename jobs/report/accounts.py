"""What a night refused, which models and prompts spoke in it, and what its ranker leans on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from feature_store.catalog import generations_view, without_damaged
from feature_store.partitions import Store, read_leniently
from feature_store.tables import TABLES
from jobs.recommender.contributions import words
from jobs.recommender.groups import GROUP_OF

EXAMPLES = 3


@dataclass(frozen=True)
class Refusals:
    """Rows of one job that were refused for one reason, with a few of them."""

    job: str
    reason: str
    count: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """A model, and where there is one the prompt, behind the rows of a table."""

    table: str
    rows: int
    model_id: str
    model_revision: str
    prompt: str
    prompt_hash: str


@dataclass(frozen=True)
class Answers:
    """What one model was ever paid for one prompt, over all runs, those that failed included."""

    prompt: str
    model_id: str
    answers: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Importance:
    """A feature's share of the gain all splits of the ranker brought."""

    feature: str
    share: float
    group: str


@dataclass(frozen=True)
class Ranker:
    """The ranker of a night, or why there is none.

    challenger: NDCG@10 of tonight's training minus the champion's, with its interval.
    """

    status: str
    reason: str
    groups: int
    rows: int
    positives: int
    rounds: int
    valid_ndcg_at_10: float | None
    importances: list[Importance]
    trained_ds: date | None = None
    challenger: tuple[float, float | None, float | None] | None = None

    def group_shares(self) -> list[tuple[str, float]]:
        """Share of the gain by group of features, largest first."""
        shares: dict[str, float] = {}
        for importance in self.importances:
            shares[importance.group] = shares.get(importance.group, 0.0) + importance.share
        return sorted(shares.items(), key=lambda pair: -pair[1])


def refusals(store: Store, ds: date) -> list[Refusals]:
    """What the jobs of a night refused, by job and reason, most frequent first."""
    published = (store.published(table, ds) for table in TABLES)
    files = [str(p.quarantine) for p in published if p is not None and p.quarantine is not None]
    if not files:
        return []
    query = """
        SELECT job, reason, count(*),
               list({'entity_id': entity_id, 'detail': detail, 'raw': raw} ORDER BY entity_id)[:$examples]
        FROM read_parquet($files) GROUP BY ALL ORDER BY 3 DESC, 1, 2
    """
    with duckdb.connect() as connection:
        found = connection.execute(query, {"files": files, "examples": EXAMPLES}).fetchall()
    return [Refusals(*row) for row in found]


def sources(store: Store, ds: date) -> list[Source]:
    """Every model and prompt behind the rows of a night."""
    found = []
    with duckdb.connect() as connection:
        for name, table in TABLES.items():
            partition = store.published(name, ds)
            # What a model made itself says its revision; what was made of that names the model alone.
            if partition is None or "model_revision" not in table.schema.names or not partition.files:
                continue
            prompted = "prompt_name" in table.schema.names
            # Rows of a table with prompts may do without: a category that was voted for.
            named = "if(prompt_name = '', '', prompt_name || ' v' || prompt_version), prompt_hash"
            prompt = named if prompted else "'', ''"
            query = f"""
                SELECT count(*), model_id, model_revision, {prompt}
                FROM read_parquet($files) GROUP BY ALL ORDER BY 1 DESC
            """
            files = {"files": [str(file) for file in partition.files]}
            found += [Source(name, *row) for row in connection.execute(query, files).fetchall()]
    return found


def answers(store: Store) -> list[Answers]:
    """The stored generations by prompt version and model."""
    query = """
        SELECT prompt_name || ' v' || prompt_version, model_id, count(*), sum(prompt_tokens)::BIGINT,
               sum(cached_tokens)::BIGINT, sum(output_tokens)::BIGINT
        FROM generations WHERE prompt_name IS NOT NULL GROUP BY ALL ORDER BY ALL
    """

    def counted() -> list[Answers]:
        with duckdb.connect() as connection:
            connection.execute(generations_view(store))
            return [Answers(*row) for row in connection.execute(query).fetchall()]

    return without_damaged(store, counted)


def ranker(store: Store, ds: date) -> Ranker | None:
    """The ranker of a night, features by importance."""
    partition = store.published("rankers", ds)
    if partition is None or not partition.files:
        return None
    names = ["status", "reason", "groups", "rows", "positives", "rounds", "valid_ndcg_at_10", "trained_ds"]
    compared = ["challenger_lift", "challenger_low", "challenger_high"]
    # A night of an older Nightmill lacks some of them.
    schema = TABLES["rankers"].schema
    columns = pa.schema([schema.field(name) for name in (*names, *compared, "features", "importances")])
    row = read_leniently(columns, partition.files).to_pylist()[0]
    # A fallback names its features and has no importances.
    gains = dict(zip(row["features"], row["importances"], strict=False))
    total = sum(gains.values()) or 1.0
    ranked = sorted(gains, key=lambda name: (-gains[name], name))
    importances = [Importance(name, gains[name] / total, feature_group(name)) for name in ranked]
    lift, low, high = (row[name] for name in compared)
    return Ranker(
        **{name: row[name] for name in names},
        importances=importances,
        challenger=None if lift is None else (lift, low, high),
    )


def feature_group(feature: str) -> str:
    """The group a feature is of; one that is no longer known counts as behaviour."""
    return GROUP_OF.get(feature, "behaviour")


def moved_scores(store: Store, ds: date, places: int = 10) -> list[tuple[str, float]]:
    """Share of what moved the scores of the first places by group of features, as the lists' reasons say.

    Only the reasons that are written beside an item count, which are the largest. Empty without any.
    """
    partition = store.published("recommendations", ds)
    if partition is None or not partition.files:
        return []
    with duckdb.connect() as connection:
        rows = connection.read_parquet([str(file) for file in partition.files], union_by_name=True)
        if "contributions" not in rows.columns:
            return []
        rows.create_view("lists")
        query = """
            WITH said AS (SELECT unnest(contributions) AS words FROM lists WHERE rank <= $places),
                 parts AS (
                     SELECT regexp_extract(words, '^(.*) \\S+: (\\S+)$', ['phrase', 'amount']) AS part
                     FROM said
                 )
            SELECT part.phrase, sum(abs(try_cast(part.amount AS DOUBLE))) FROM parts GROUP BY ALL
        """
        found = connection.execute(query, {"places": places}).fetchall()
    return _by_group({phrase: amount or 0.0 for phrase, amount in found})


def _by_group(amounts: Mapping[str, float]) -> list[tuple[str, float]]:
    group_of = {words(feature): group for feature, group in GROUP_OF.items()}
    shares: dict[str, float] = {}
    total = sum(amounts.values()) or 1.0
    for phrase, amount in sorted(amounts.items()):
        group = group_of.get(phrase, "behaviour")
        shares[group] = shares.get(group, 0.0) + amount / total
    return sorted(shares.items(), key=lambda pair: -pair[1])
