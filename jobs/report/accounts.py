"""What a night refused, which models and prompts spoke in it, and what its ranker leans on."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from feature_store.catalog import generations_view, without_damaged
from feature_store.partitions import Store, read
from feature_store.tables import CHANNEL_COLUMNS, TABLES

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
    """The ranker of a night, or why there is none."""

    status: str
    reason: str
    groups: int
    rows: int
    positives: int
    rounds: int
    valid_ndcg_at_10: float | None
    importances: list[Importance]

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
            if partition is None or "model_id" not in table.schema.names or not partition.files:
                continue
            prompted = "prompt_name" in table.schema.names
            prompt = "prompt_name || ' v' || prompt_version, prompt_hash" if prompted else "'', ''"
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
    names = ["status", "reason", "groups", "rows", "positives", "rounds", "valid_ndcg_at_10"]
    columns = [*names, "features", "importances"]
    row = read("rankers", partition.files, columns).to_pylist()[0]
    # A fallback names its features and has no importances.
    gains = dict(zip(row["features"], row["importances"], strict=False))
    total = sum(gains.values()) or 1.0
    ranked = sorted(gains, key=lambda name: (-gains[name], name))
    importances = [Importance(name, gains[name] / total, feature_group(name)) for name in ranked]
    return Ranker(**{name: row[name] for name in names}, importances=importances)


def feature_group(feature: str) -> str:
    """Where a feature comes from: the model, the recall channels, or behaviour."""
    if "llm_" in feature or feature.endswith("_profile_present"):
        return "language model"
    return "recall score" if feature in {c.name for c in CHANNEL_COLUMNS} else "behaviour"
