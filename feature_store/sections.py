"""The sections of the settings, one class each; infra/settings/default.toml explains every key."""

import codecs
import math
import re
from datetime import date
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

# Attributes of a person that are neither read nor inferred (GDPR article 9 and the obvious two).
PROTECTED = {
    "age",
    "gender",
    "sex",
    "ethnicity",
    "race",
    "religion",
    "health",
    "politics",
    "sexual_orientation",
}


class Section(BaseModel):
    """A section of the settings: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Section):
    """Where raw events and items are, how they are written, and what their columns are called."""

    location: str
    format: str
    interactions: str
    items: str
    users: str
    encoding: str
    delimiter: str = Field(max_length=1)
    max_refused_share: float = Field(ge=0, le=1)
    user: str
    item: str
    time: str
    time_unit: Literal["auto", "s", "ms", "us", "ns"]
    time_format: str
    time_zone: str
    event: str
    event_weights: dict[str, float]
    value: str
    title: str
    description: str
    categories: str
    categories_separator: str = Field(min_length=1)
    price: str
    brand: str
    item_time: str
    item_attributes: tuple[str, ...]
    user_attributes: tuple[str, ...]
    user_time: str

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError:
            raise ValueError("is not an encoding Python knows (utf-8, latin-1, cp1252 ...)") from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("is not an IANA time zone (UTC, Europe/Berlin ...)") from None
        return value

    @field_validator("time_format")
    @classmethod
    def _naive_format(cls, value: str) -> str:
        if "%z" in value.lower():
            raise ValueError("times with an offset are read as ISO 8601; leave it empty")
        return value

    @field_validator("event_weights")
    @classmethod
    def _finite(cls, value: dict[str, float]) -> dict[str, float]:
        if wrong := sorted(kind for kind, weight in value.items() if not math.isfinite(weight)):
            raise ValueError(f"the weight of {', '.join(wrong)} is not a number")
        return value

    @field_validator("user_attributes")
    @classmethod
    def _no_protected(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # user_age and "Age group" are an age as well
        words = {word for name in value for word in (name.lower(), *re.split(r"[^a-z]+", name.lower()))}
        if refused := sorted(PROTECTED & words):
            raise ValueError(f"{', '.join(refused)} is a protected attribute and is never shown to a model")
        return value


class Nightly(Section):
    """The dates `make nightly` runs."""

    dates: tuple[date, ...] = Field(min_length=1)


class Time(Section):
    """How `known_at` is set."""

    mode: Literal["auto", "actual", "simulated"]
    publication_delay_hours: float = Field(ge=0)


class Activity(Section):
    """Who counts as active."""

    days: int = Field(ge=1)


class Features(Section):
    """What features of users look at."""

    recent_items: int = Field(ge=1)
    session_minutes: int = Field(ge=1)


class Recall(Section):
    """Recall channels and how many candidates they may propose."""

    repeats: bool
    candidates: int = Field(ge=1)
    cold_candidates: int = Field(ge=0)
    per_channel: int = Field(ge=1)
    factors: int = Field(ge=1)
    regularization: float = Field(ge=0)
    iterations: int = Field(ge=1)
    alpha: float = Field(gt=0)
    half_life_days: float = Field(ge=0)
    knn_similarity: Literal["cosine", "jaccard"]
    knn_neighbours: int = Field(ge=1)
    knn_shrinkage: float = Field(ge=0)
    knn_half_life_days: float = Field(ge=0)
    trending_half_life_days: float = Field(gt=0)
    content_history: int = Field(ge=1)
    synthetic_weight: float = Field(ge=0, le=1)
    seed: int

    @property
    def cold_places(self) -> int:
        """Candidates that are cold items: a quarter of all at most, however few there are."""
        return min(self.cold_candidates, self.candidates // 4)

    @property
    def blended(self) -> int:
        """Candidates of the channels whose shares are learnt."""
        return self.candidates - self.cold_places


class Tuning(Section):
    """The search for settings of the recall channels."""

    trials: int = Field(ge=0)
    days: int = Field(ge=1)
    users: int = Field(ge=1)
    min_users: int = Field(ge=2)
    events: int = Field(ge=1)
    seed: int


class Ranker(Section):
    """LightGBM lambdarank and its training set."""

    windows: int = Field(ge=1)
    horizon_days: int = Field(ge=1)
    groups: tuple[str, ...] = Field(min_length=1)
    min_groups: int = Field(ge=1)
    valid_users: int = Field(ge=1)
    negatives_per_positive: int = Field(ge=1)
    num_leaves: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    rounds: int = Field(ge=1)
    min_data_in_leaf: int = Field(ge=1)
    feature_fraction: float = Field(gt=0, le=1)
    lambda_l2: float = Field(ge=0)
    trials: int = Field(ge=0)
    seed: int


class Ablation(Section):
    """The verdict on groups of features."""

    worthwhile: float = Field(ge=0)
    days: int = Field(ge=1)


class Recommend(Section):
    """The published lists: how long, how different, what is left out and what is explained."""

    top: int = Field(ge=1)
    diversity: float = Field(ge=0, le=1)
    explore_share: float = Field(ge=0, le=1)
    explore_cap: float = Field(ge=0, le=1)
    deny_file: str
    contributions: int = Field(ge=0)
    explained: int = Field(ge=0)


class Evaluate(Section):
    """Horizon and cut-offs of the evaluation."""

    horizon_days: int = Field(ge=1)
    cutoffs: tuple[int, ...] = Field(min_length=1)


class Drift(Section):
    """How far (PSI) a feature may move from one night to the next; 0 = as far as it likes."""

    warn: float = Field(ge=0)
    refuse: float = Field(ge=0)


class Report(Section):
    """How many example users the report shows."""

    users: int = Field(ge=0)


class Spark(Section):
    """The Spark session."""

    master: str
    driver_memory: str
    java_options: str
    shuffle_partitions: int = Field(ge=1)


class HttpEngine(Section):
    """An OpenAI-compatible server of your own."""

    url: str
    api_key: SecretStr
    concurrency: int = Field(ge=1)
    timeout_seconds: float = Field(gt=0)
    retries: int = Field(ge=0)
    outage_seconds: float = Field(gt=0)


class ManagedServer(Section):
    """The vLLM server Nightmill starts, shares between the night's jobs, and stops when idle."""

    idle_seconds: float = Field(gt=0)
    start_seconds: float = Field(gt=0)
    host: Literal["127.0.0.1", "localhost"]
    port: int = Field(ge=0, le=65535)


class VllmArguments(Section):
    """Engine arguments of vLLM; `extra` takes any that are not named here."""

    dtype: str
    max_model_len: int = Field(ge=1)
    max_num_seqs: int = Field(ge=1)
    max_num_batched_tokens: int = Field(ge=1)
    block_size: int = Field(ge=1)
    kv_cache_gib: float = Field(gt=0)
    enforce_eager: bool
    tensor_parallel_size: int = Field(ge=1)
    extra: dict[str, Any]


class Sampling(Section):
    """Sampling parameters, part of every request's key."""

    temperature: float = Field(ge=0)
    seed: int


class Budget(Section):
    """How many tokens a night may read and write; 0 is no limit."""

    tokens: int = Field(ge=0)


class Price(Section):
    """What a million tokens cost; 0 where it is not known."""

    currency: str
    read: float = Field(ge=0)
    cached: float = Field(ge=0)
    written: float = Field(ge=0)


class Generation(Section):
    """The model that answers requests and the engine that runs it."""

    engine: Literal["server", "vllm", "http", "fake", "none"]
    model: str
    quantization: str
    adapter: str
    flush_rows: int = Field(ge=1)
    flush_seconds: float = Field(gt=0)
    retry: bool
    retry_temperature: float = Field(gt=0)
    hang_seconds: float = Field(gt=0)
    record_inputs: bool
    engine_restarts: int = Field(ge=0)
    budget: Budget
    price: Price
    http: HttpEngine
    server: ManagedServer
    vllm: VllmArguments
    sampling: Sampling


class Privacy(Section):
    """What is taken out of texts before a model reads them, and what its answers may speak of."""

    redact: bool
    names_file: str
    allowed_attributes: tuple[str, ...]

    @field_validator("allowed_attributes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(value) - PROTECTED):
            raise ValueError(f"{', '.join(unknown)} is not one of {', '.join(sorted(PROTECTED))}")
        return value


class Embedding(Section):
    """The text embedding model."""

    engine: Literal["auto", "torch", "vllm"]
    model: str
    batch_size: int = Field(ge=1)
    max_tokens: int = Field(ge=8)
    threads: int = Field(ge=0)
    vllm: dict[str, Any]
    user_history: int = Field(ge=1)


class Profiles(Section):
    """Which items and users are profiled, and by which prompt."""

    item_min_events: int = Field(ge=0)
    item_cold: int = Field(ge=0)
    user_active_days: int = Field(ge=1)
    user_max: int = Field(ge=0)
    user_history: int = Field(ge=1)
    item_prompt_version: int = Field(ge=1)
    user_prompt_version: int = Field(ge=1)
    language: str
    category_items: int = Field(ge=0)
    category_checks: int = Field(ge=1)
    category_precision: float = Field(gt=0, lt=1)
    category_prompt_version: int = Field(ge=1)


class ColdStart(Section):
    """Which items are cold and how many questions are asked about them."""

    enabled: Literal["auto", "always", "never"]
    max_events: int = Field(ge=0)
    items: int = Field(ge=0)
    users_per_item: int = Field(ge=1)
    pairs: int = Field(ge=0)
    check_pairs: int = Field(ge=0)
    new_users: int = Field(ge=0)
    user_history: int = Field(ge=1)
    prompt_version: int = Field(ge=1)


class Alignment(Section):
    """How towers are learnt that align what is known of items with what users take."""

    item_numbers: bool
    dimensions: int = Field(ge=1)
    passes: int = Field(ge=1)
    pass_users: int = Field(ge=2)
    patience: int = Field(ge=1)
    users: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    warm_up: int = Field(ge=1)
    held_share: float = Field(ge=0, lt=1)
    held_items: int = Field(ge=0)
    held_users: int = Field(ge=1)
    min_users: int = Field(ge=1)
    seed: int


class RemoteCopy(Section):
    """Where published tables are kept for other machines."""

    remote: str


class Retention(Section):
    """How long `nightmill gc` keeps what it may remove."""

    days: int = Field(ge=0)
    grace_hours: float = Field(ge=0)


class Log(Section):
    """How the commands say what they do."""

    format: Literal["text", "json"]


class Settings(Section):
    """All settings of one run."""

    data_root: Path
    cache_root: Path
    source: Source
    nightly: Nightly
    time: Time
    activity: Activity
    features: Features
    generation: Generation
    privacy: Privacy
    embedding: Embedding
    profiles: Profiles
    cold_start: ColdStart
    alignment: Alignment
    recall: Recall
    tuning: Tuning
    ranker: Ranker
    ablation: Ablation
    recommend: Recommend
    evaluate: Evaluate
    drift: Drift
    report: Report
    spark: Spark
    store: RemoteCopy
    retention: Retention
    log: Log

    @field_validator("data_root", "cache_root")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()
