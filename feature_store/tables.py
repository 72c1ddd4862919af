"""Every table Nightmill publishes, declared once: columns, types, keys, ranges.

Parquet schemas, DuckDB views, Spark schemas, Great Expectations suites and docs/features.md (`make docs`) are
made from this file. A new feature is one column in a transform and one line here.
"""

from dataclasses import replace

import pyarrow as pa

from feature_store.contract import (
    DAY,
    FLAG,
    GROUPS,
    INTEGER,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    TIME,
    VECTOR,
    Column,
    Table,
)

CURRENCY = "the source's currency"
MODEL_PROVENANCE = (
    Column("prompt_name", TEXT, "prompt that was asked"),
    Column("prompt_version", TEXT, "version of the prompt"),
    Column("prompt_hash", TEXT, "hash of the prompt's files"),
    Column("model_id", TEXT, "model that answered"),
    Column("model_revision", TEXT, "revision of the model"),
)


def _user(doc: str = "user") -> Column:
    return Column("user_id", TEXT, doc)


def _item(doc: str = "item") -> Column:
    return Column("item_id", TEXT, doc)


def _count(name: str, doc: str) -> Column:
    return Column(name, INTEGER, doc, minimum=0)


def _llm(name: str, type_: pa.DataType, doc: str, max_length: int | None = None) -> Column:
    return Column(name, type_, doc, max_length=max_length, from_model=True)


def _generated(group: str, column: Column) -> Column:
    """A feature that would be another one with another model."""
    return replace(column, from_model=True, group=group)


def _share(name: str, doc: str) -> Column:
    return Column(name, NUMBER, doc, True, 0, 1)


def _cosine(name: str, doc: str) -> Column:
    return Column(name, NUMBER, doc, True, -1.001, 1.001)


def _complete(entity: str) -> tuple[Column, ...]:
    """Flags of windows that are longer than the history: what they count is part of the truth."""
    return tuple(
        Column(f"{entity}_window_complete_{days}d", FLAG, f"false where history is shorter than {days} days")
        for days in (7, 30, 90)
    )


ITEM_FEATURES = (
    _count("item_events_count_7d", "events on the item in the last 7 days"),
    _count("item_events_count_30d", "events on the item in the last 30 days"),
    _count("item_events_count_90d", "events on the item in the last 90 days"),
    _count("item_events_count_lifetime", "events on the item in all of history"),
    _count("item_users_count_30d", "distinct users of the item in the last 30 days"),
    Column("item_weight_mean_90d", NUMBER, "mean event weight in the last 90 days", nullable=True),
    _share("item_returns_share_90d", "share of the events of negative weight (returns)"),
    Column("item_recency_days", NUMBER, "days since the last event, null for a cold item", True, 0),
    Column("item_age_days", NUMBER, "days since the first event, null for a cold item", True, 0, ages=True),
    Column(
        "item_trend_ratio_7d", NUMBER, "events a day of the last 7 days over those of the last 30", True, 0
    ),
    Column(
        "item_trend_ratio_30d", NUMBER, "events a day of the last 30 days over those of the last 90", True, 0
    ),
    Column("item_price", NUMBER, "price in the night's catalogue", True, 0, unit=CURRENCY),
    _share("item_price_percentile_catalogue", "share of the catalogue's prices below the item's"),
    _share("item_price_percentile_category", "the same within the item's most specific category"),
    Column("item_cold", FLAG, "at most cold_start.max_events events in all of history"),
    *_complete("item"),
    Column(
        "item_profile_present",
        FLAG,
        "whether the model's profile of the item was accepted",
        group="item_text",
    ),
)
USER_FEATURES = (
    _count("user_events_count_7d", "events of the user in the last 7 days"),
    _count("user_events_count_30d", "events of the user in the last 30 days"),
    _count("user_events_count_90d", "events of the user in the last 90 days"),
    _count("user_events_count_lifetime", "events of the user in all of history"),
    _count("user_items_count_90d", "distinct items the user took in the last 90 days and kept"),
    Column("user_weight_mean_90d", NUMBER, "mean event weight in the last 90 days", nullable=True),
    _share("user_returns_share_90d", "share of the events of negative weight (returns)"),
    Column("user_recency_days", NUMBER, "days since the last event", True, 0),
    Column("user_tenure_days", NUMBER, "days since the first event", True, 0, ages=True),
    Column(
        "user_trend_ratio_7d", NUMBER, "events a day of the last 7 days over those of the last 30", True, 0
    ),
    _count("user_sessions_count_90d", "sessions in the last 90 days (features.session_minutes)"),
    Column("user_session_events_mean_90d", NUMBER, "mean events of a session", True, 1),
    Column("user_session_gap_days_mean_90d", NUMBER, "mean days from one session to the next", True, 0),
    Column(
        "user_price_median_90d", NUMBER, "median price of the items taken and kept", True, 0, unit=CURRENCY
    ),
    Column("user_cold", FLAG, "at most cold_start.max_events events in all of history"),
    *_complete("user"),
    Column(
        "user_profile_present",
        FLAG,
        "whether the model's profile of the user was accepted",
        group="user_text",
    ),
)
# Channels whose shares of the candidates `tune` learns on past windows. The cold items of the past are warm
# today, so that cold_start has places of its own (recall.cold_candidates) instead.
BLENDED = ("als", "item_knn", "trending", "trending_category", "content", "repeat")
CHANNELS = (*BLENDED, "cold_start")
# Channels that could not propose anything without the model; the others are of the group "recall".
CHANNEL_GROUPS = {"content": "embeddings", "cold_start": "embeddings"}
CHANNEL_COLUMNS = tuple(
    column
    for channel in CHANNELS
    for column in (
        Column(
            f"{channel}_rank",
            INTEGER,
            f"rank in the {channel} channel, null where it did not propose",
            True,
            1,
            group=CHANNEL_GROUPS.get(channel, "recall"),
        ),
        Column(
            f"{channel}_score",
            NUMBER,
            f"score of the {channel} channel",
            nullable=True,
            group=CHANNEL_GROUPS.get(channel, "recall"),
        ),
    )
)
PAIR_FEATURES = (
    _share("pair_category_affinity_90d", "share of the user's events in the item's categories"),
    _share("pair_brand_affinity_90d", "share of the user's events on items of the item's brand"),
    Column(
        "pair_price_distance_90d",
        NUMBER,
        "how many times the user's median price the item costs, or the other way round, as a logarithm",
        True,
        0,
    ),
    _generated(
        "user_text", _count("llm_pair_interests_overlap", "tags of the item that are interests of the user")
    ),
    _generated(
        "item_text",
        _count("llm_pair_recent_tags_overlap", "tags of the item that an item the user took lately has"),
    ),
    _generated(
        "embeddings",
        _cosine("llm_pair_embedding_similarity", "cosine of the item's vector and the user's mean vector"),
    ),
    _generated(
        "embeddings",
        _cosine(
            "llm_pair_embedding_similarity_last",
            "cosine of the item's vector and that of the user's last item",
        ),
    ),
    _generated(
        "embeddings",
        _cosine(
            "llm_pair_embedding_similarity_top3",
            "mean of the three largest cosines to the user's recent items",
        ),
    ),
)


METRICS = (
    "ndcg_at_k",
    "recall_at_k",
    "hit_rate_at_k",
    "mrr_at_k",
    "candidate_recall_at_n",
    "candidate_recall_gain_at_n",
    "item_coverage",
    "novelty",
    "popularity_bias",
    "intra_list_diversity",
    "miscalibration",
    "taken_share_in_decile",
)


def _joined(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Columns as an as-of join gives them: null where nothing was known yet."""
    return tuple(replace(column, nullable=True) for column in columns)


_ALL = (
    Table(
        "interactions",
        "ingest",
        "What users did, one row an event, in the night it arrived for.",
        (
            _user(),
            _item(),
            Column("event_time", TIME, "when it happened"),
            Column("event_type", TEXT, "what happened"),
            Column("weight", NUMBER, "how strongly it speaks for the item (a rating, a quantity)"),
        ),
        ("user_id", "item_id", "event_time", "event_type"),
        kind="event",
        fresh_days=3,
    ),
    Table(
        "items",
        "ingest",
        "The catalogue as of a night.",
        (
            _item(),
            Column("title", TEXT, "title"),
            Column("description", TEXT, "description, where the source has one", nullable=True),
            Column("categories", TEXTS, "categories, most general first"),
            Column("price", NUMBER, "price", True, 0, unit=CURRENCY),
            Column("brand", TEXT, "brand, where the source has one", nullable=True, categorical=True),
            Column("attributes", TEXT, "further fields, a JSON object of texts"),
            Column("listed", FLAG, "whether it stands in the catalogue; false for one that only has events"),
        ),
        ("item_id",),
        drift=True,
    ),
    Table(
        "users",
        "ingest",
        "Users with at least one event before as_of.",
        (_user(), Column("attributes", TEXT, "permitted fields, a JSON object of texts")),
        ("user_id",),
    ),
    Table(
        "item_profiles",
        "profile_items",
        "What the model says of an item, from the item's own fields.",
        (
            _item(),
            _llm("llm_description", TEXT, "one sentence, grounded in the item's fields", 400),
            _llm("llm_tags", TEXTS, "tags from a closed vocabulary"),
            replace(_llm("llm_audience", TEXT, "audience from a closed vocabulary", 60), categorical=True),
            Column("generation_key", TEXT, "key of the generation behind the row"),
            *MODEL_PROVENANCE,
        ),
        ("item_id",),
        coverage=0.7,
        drift=True,
    ),
    Table(
        "user_profiles",
        "profile_users",
        "What the model says of a user's interests, from history before as_of only.",
        (
            _user(),
            _llm("llm_summary", TEXT, "one sentence on the user's taste", 400),
            _llm("llm_interests", TEXTS, "interests from a closed vocabulary"),
            _count("history_events", "events the model was shown"),
            Column("generation_key", TEXT, "key of the generation behind the row"),
            *MODEL_PROVENANCE,
        ),
        ("user_id",),
        coverage=0.7,
        drift=True,
    ),
    Table(
        "item_embeddings",
        "embed",
        "Text vectors of items, of length one.",
        (
            _item(),
            Column("embedding", VECTOR, "vector", from_model=True),
            Column("text_hash", TEXT, "hash of the text that was embedded"),
            Column("model_id", TEXT, "embedding model"),
            Column("model_revision", TEXT, "revision of the embedding model"),
        ),
        ("item_id",),
    ),
    Table(
        "user_embeddings",
        "embed",
        "Users in the items' vector space: the mean of their last items, of length one.",
        (
            _user(),
            Column("embedding", VECTOR, "vector", from_model=True),
            _count("history_events", "items the mean was taken over"),
            Column("model_id", TEXT, "embedding model"),
            Column("model_revision", TEXT, "revision of the embedding model"),
        ),
        ("user_id",),
        ttl_days=30,
    ),
    Table(
        "synthetic_interactions",
        "simulate_cold_start",
        "Which of two items the model thinks a user would take; never a fact about the user.",
        (
            _user(),
            _item("item that was preferred"),
            Column("other_item_id", TEXT, "item that was not"),
            Column(
                "source",
                TEXT,
                "a question about two cold items, or about a new user",
                values=("cold_item", "new_user"),
            ),
            Column(
                "probability",
                NUMBER,
                "mean probability of the preferred item over both orders",
                False,
                0,
                1,
                from_model=True,
            ),
            Column(
                "margin",
                NUMBER,
                "mean log-odds of the preferred item over both orders",
                False,
                from_model=True,
            ),
            Column(
                "position_bias",
                NUMBER,
                "how much the answer leaned to what stood first",
                False,
                -1,
                1,
                from_model=True,
            ),
            Column(
                "confidence",
                NUMBER,
                "2 * P(right) - 1 at such a margin, by the night's questions with a known answer",
                False,
                0,
                1,
                from_model=True,
            ),
            Column("generation_key", TEXT, "key of the generation with the preferred item first"),
            Column("other_generation_key", TEXT, "key of the generation with the other item first"),
            *MODEL_PROVENANCE,
        ),
        ("user_id", "item_id", "other_item_id"),
    ),
    Table(
        "item_categories_proposed",
        "propose_categories",
        "Categories of the catalogue proposed for items that have none; never part of the items themselves.",
        (
            _item("item without a category"),
            _llm("llm_category", TEXT, "a category of other items, most like its own"),
            Column(
                "confidence",
                NUMBER,
                "share of the neighbours' votes, or probability of the model's answer",
                False,
                0,
                1,
                from_model=True,
            ),
            Column(
                "precision_low",
                NUMBER,
                "so large a share of such proposals is right at least, measured on known items (95%)",
                False,
                0,
                1,
            ),
            Column("source", TEXT, "who proposed: the better of the two", values=("vote", "model")),
            Column("generation_key", TEXT, "key of the generation behind the row, empty for a vote"),
            *MODEL_PROVENANCE,
        ),
        ("item_id",),
    ),
    Table(
        "aligned_items",
        "align_embeddings",
        "Items in the space of what users take together, whether anybody took them or not.",
        (
            _item(),
            Column("shown", VECTOR, "what the item says of a user who took it", from_model=True),
            Column("wanted", VECTOR, "for whom the item is, from what is known of it", from_model=True),
            Column("model_id", TEXT, "embedding model of the texts"),
        ),
        ("item_id",),
    ),
    Table(
        "alignments",
        "align_embeddings",
        "How aligned vectors and likeness are mixed for a cold item: one row, learnt on items held out.",
        (
            Column("model_id", TEXT, "embedding model of the texts"),
            Column("far", NUMBER, "what the product of the aligned vectors counts", minimum=0),
            Column("near", NUMBER, "what the attention to like items of the history counts", minimum=0),
            Column("blocks", TEXTS, "signs of likeness: text vectors, words, facts, item number"),
            Column("block_weights", NUMBERS, "what the cosine of each of them counts"),
            Column(
                "equal_events", NUMBER, "events that say as much of an item as what is known of it", minimum=0
            ),
            _count("passes", "passes over the users"),
            _count("held_items", "items held out to learn the mixture, 0 where there were too few"),
            _count("held_users", "users whose held-out items were looked for"),
            _share("recall_towers", "recall@20 among held-out items by the aligned vectors alone"),
            _share("recall_nearness", "the same by the attention alone"),
            _share("recall_both", "the same by both"),
        ),
        ("ds",),
    ),
    Table(
        "lifetimes",
        "build_features",
        "Events of each user and item in all of history; the next night goes on from here.",
        (
            Column("entity", TEXT, "what entity_id is", values=("user", "item")),
            Column("entity_id", TEXT, "user or item, in the catalogue or not"),
            Column("events_count", INTEGER, "events before as_of", minimum=1),
            Column("first_event_time", TIME, "the oldest of them"),
            Column("last_event_time", TIME, "the newest of them"),
        ),
        ("entity", "entity_id"),
        in_order=(("first_event_time", "last_event_time"), ("last_event_time", "as_of")),
    ),
    Table(
        "item_features",
        "build_features",
        "Features of items as of a night.",
        (
            _item(),
            *ITEM_FEATURES,
            Column("categories", TEXTS, "categories of the item"),
            Column("brand", TEXT, "brand of the item", nullable=True),
            _llm("llm_tags", TEXTS, "tags of the item, empty without a profile"),
        ),
        ("item_id",),
        drift=True,
        ttl_days=30,
    ),
    Table(
        "user_features",
        "build_features",
        "Features of users as of a night.",
        (
            _user(),
            *USER_FEATURES,
            Column("user_category_names_90d", TEXTS, "categories of the user's events, by share"),
            Column("user_category_shares_90d", NUMBERS, "share of the user's events in each of them"),
            Column("user_brand_names_90d", TEXTS, "brands of the user's events, by share"),
            Column("user_brand_shares_90d", NUMBERS, "share of the user's events in each of them"),
            Column("user_recent_items_90d", TEXTS, "last items taken and kept, newest first"),
            _llm("llm_interests", TEXTS, "interests of the user, empty without a profile"),
            _llm("llm_recent_tags", TEXTS, "tags of user_recent_items_90d, in the order of the alphabet"),
        ),
        ("user_id",),
        drift=True,
        ttl_days=30,
    ),
    Table(
        "tunings",
        "tune",
        "How recall is set up: one row, found on windows before the ranker's label windows.",
        (
            Column(
                "tuned_ds", DAY, "night whose search found it, an earlier one where it is carried forward"
            ),
            Column(
                "status",
                TEXT,
                "searched for, carried forward, or the settings as they are",
                values=("tuned", "carried", "default"),
            ),
            Column("reason", TEXT, "what became of the search"),
            Column("window_start", TIME, "first moment of the events it was judged by", nullable=True),
            Column(
                "window_end", TIME, "moment before which all events lie that were looked at", nullable=True
            ),
            Column("parameters", TEXT, "keys of [recall] and what replaces them, a JSON object"),
            Column("quotas", TEXT, "candidates each channel may bring for sure, a JSON object"),
            Column("weights", TEXT, "what each channel's ranks weigh in the merged score, a JSON object"),
            Column("searched_for", TEXT, "settings the search started from, a JSON object"),
            _count("trials", "settings tried"),
            _count("users", "users it was judged by"),
            Column(
                "default_ndcg_at_10", NUMBER, "NDCG@10 of the merged list as the settings are", True, 0, 1
            ),
            Column("tuned_ndcg_at_10", NUMBER, "NDCG@10 of the merged list as tuned", True, 0, 1),
        ),
        ("ds",),
    ),
    Table(
        "user_factors",
        "fit_recall",
        "The recall model's user factors (implicit ALS).",
        (_user(), Column("factors", VECTOR, "factors")),
        ("user_id",),
    ),
    Table(
        "item_factors",
        "fit_recall",
        "The recall model's item factors (implicit ALS).",
        (_item(), Column("factors", VECTOR, "factors")),
        ("item_id",),
    ),
    Table(
        "candidates",
        "fit_recall",
        "What the channels propose for each active user, seen items removed (kept with recall.repeats).",
        (
            _user(),
            _item(),
            Column(
                "score",
                NUMBER,
                "merged recall score: sum over channels of weight * 60 / (60 + rank)",
                False,
                0,
            ),
            Column("rank", INTEGER, "rank by merged score", minimum=1),
            Column("channels", TEXTS, "channels that proposed the item"),
            *CHANNEL_COLUMNS,
        ),
        ("user_id", "item_id"),
        drift=True,
        ttl_days=30,
    ),
    Table(
        "training_set",
        "build_training_set",
        "Lists of past nights with what was known when they were, labelled by what users then took.",
        (
            _user(),
            _item(),
            Column("query_time", TIME, "when the list was known: every feature was known at or before it"),
            Column("window", DAY, "night of the list: a label window begins with it"),
            Column("label", INTEGER, "1 when the user took the item in the window", minimum=0, maximum=1),
            Column("label_time", TIME, "time of the event behind a positive label", nullable=True),
            Column(
                "relevant_count", INTEGER, "items the user took in the window, in the list or not", minimum=1
            ),
            *CHANNEL_COLUMNS,
            *_joined(ITEM_FEATURES),
            *_joined(USER_FEATURES),
            *_joined(PAIR_FEATURES),
            Column("features_known_at", TIME, "newest known_at among the rows joined in", nullable=True),
        ),
        ("user_id", "query_time", "item_id"),
        in_order=(("features_known_at", "query_time"), ("query_time", "label_time"), ("query_time", "as_of")),
    ),
    Table(
        "synthetic_pairs",
        "build_training_set",
        "Synthetic interactions of past nights with what was known then: a ranker learns from them a little.",
        (
            _user(),
            _item(),
            Column("other_item_id", TEXT, "the other item of the question"),
            Column("query_time", TIME, "when the lists of that night were known"),
            Column("window", DAY, "night of the answer"),
            Column("label", INTEGER, "1 for the item the model preferred", minimum=0, maximum=1),
            Column(
                "weight",
                NUMBER,
                "recall.synthetic_weight times the confidence, beside 1 for a row of training_set",
                minimum=0,
                maximum=1,
                from_model=True,
            ),
            *_joined(ITEM_FEATURES),
            *_joined(USER_FEATURES),
            *_joined(PAIR_FEATURES),
            Column("features_known_at", TIME, "newest known_at among the rows joined in", nullable=True),
        ),
        ("user_id", "query_time", "item_id", "other_item_id"),
        in_order=(("features_known_at", "query_time"), ("query_time", "as_of")),
    ),
    Table(
        "ablations",
        "ablate",
        "What each group of features is worth to the ranker, measured on the newest label window.",
        (
            Column("feature_group", TEXT, "group of features", values=GROUPS),
            Column(
                "variant",
                TEXT,
                "the group itself, its rows shuffled across entities, or TF-IDF in its place",
                values=("group", "placebo", "control"),
            ),
            Column(
                "compared_to",
                TEXT,
                "no such features, or what is in their place",
                values=("without", "placebo", "control"),
            ),
            Column("slice", TEXT, "items that count as relevant", values=("all", "cold", "tail")),
            Column("window", DAY, "night of the lists, none of which any of the rankers has learnt from"),
            _share("value", "NDCG@10 with the variant"),
            _share("other", "NDCG@10 of what it is compared to"),
            Column("lift", NUMBER, "value - other, mean over users", True, -1, 1),
            Column("low", NUMBER, "lower end of the 95% paired bootstrap interval", True, -1, 1),
            Column("high", NUMBER, "upper end of the 95% paired bootstrap interval", True, -1, 1),
            _count("users", "users the means were taken over"),
            _count("tokens", "tokens read and written for the group's rows as they were published"),
            Column("seconds", NUMBER, "seconds the model took for them", minimum=0),
            Column("cost", NUMBER, "price of the tokens (generation.price)", minimum=0),
            Column("lift_per_million_tokens", NUMBER, "lift over tokens, null without tokens", nullable=True),
            Column("verdict", TEXT, "of the group", values=("keep", "drop", "unsure")),
            Column("reason", TEXT, "why, in a sentence"),
            Column("measured_ds", DAY, "night that measured it, an earlier one if carried forward", True),
            Column("measured_for", TEXT, "hash of the settings, prompts and models behind it", True),
        ),
        ("feature_group", "variant", "compared_to", "slice"),
    ),
    Table(
        "rankers",
        "train_ranker",
        "The ranker of a night: one row, the model in LightGBM's own text format.",
        (
            Column(
                "status",
                TEXT,
                "trained tonight; kept: the one before was better; fallback to recall scores",
                values=("trained", "kept", "fallback"),
            ),
            Column("reason", TEXT, "why there is no new ranker, else empty"),
            Column("trained_ds", DAY, "night whose training made the model", nullable=True),
            Column("model_text", TEXT, "LightGBM model, empty for a fallback; it adds to the margin"),
            Column("features", TEXTS, "feature names, in the model's order"),
            Column("feature_groups", TEXTS, "groups the features are of"),
            Column("importances", NUMBERS, "total gain of each feature"),
            Column("parameters", TEXT, "what the model was boosted with, a JSON object"),
            Column("tuned_ds", DAY, "night whose search found the parameters", nullable=True),
            Column("margin_channels", TEXTS, "channels whose places the score starts from"),
            Column("margin_weights", NUMBERS, "weight of each of them"),
            _count("windows", "label windows in the training set"),
            _count("groups", "query groups in the training set"),
            _count("rows", "rows trained on"),
            _count("positives", "positive rows trained on"),
            _count("rounds", "boosting rounds kept"),
            _share(
                "valid_ndcg_at_10", "NDCG@10 on the newest window, of a ranker that has not learnt from it"
            ),
            Column("champion_ds", DAY, "night of the ranker tonight's was compared with", nullable=True),
            Column("challenger_lift", NUMBER, "NDCG@10 of tonight's minus the champion's", True, -1, 1),
            Column("challenger_low", NUMBER, "lower end of its 95% interval", True, -1, 1),
            Column("challenger_high", NUMBER, "upper end of its 95% interval", True, -1, 1),
        ),
        ("ds",),
    ),
    Table(
        "recommendations",
        "recommend",
        "The published lists: the best items of every active user.",
        (
            _user(),
            Column("rank", INTEGER, "1 is best", minimum=1),
            _item(),
            Column("score", NUMBER, "ranker score, or merged recall score on a fallback"),
            Column("channels", TEXTS, "channels that proposed the item"),
            Column("stage", TEXT, "what ordered the list", values=("ranker", "candidates")),
            Column("ranker_ds", DAY, "night whose training made the ranker", nullable=True),
            Column("ranker_version", TEXT, "first digits of a hash of the ranker, empty on a fallback"),
            Column("features_version", TEXT, "first digits of a hash of the partitions that were joined"),
            Column(
                "explored", FLAG, "whether the item has its place as a cold one (recommend.explore_share)"
            ),
            Column(
                "contributions",
                TEXTS,
                "what moved the ranker's score most: a feature, its value and how much",
            ),
        ),
        ("user_id", "item_id"),
    ),
    Table(
        "evaluations",
        "evaluate",
        "Metrics of an earlier night's lists against what happened after it.",
        (
            Column("evaluated_ds", DAY, "night whose lists were evaluated"),
            Column("stage", TEXT, "ranker, candidates, or the name of a channel"),
            Column("metric", TEXT, "what was measured; docs/protocol.md says how", values=METRICS),
            Column("k", INTEGER, "cut-off; of taken_share_in_decile the decile, 10 is the best", minimum=1),
            Column(
                "slice",
                TEXT,
                "items that count as relevant, or users the mean is over",
                values=(
                    "all",
                    "warm_item",
                    "cold_item",
                    "head",
                    "tail",
                    "active_user",
                    "occasional_user",
                    "new_user",
                ),
            ),
            Column(
                "compared_to",
                TEXT,
                "stage the value is the paired difference to, or `earlier night`, else empty",
            ),
            Column("compared_ds", DAY, "the earlier night, else null", nullable=True),
            Column("value", NUMBER, "mean over users, or of their differences", False, -64, 64),
            Column("low", NUMBER, "lower end of the 95% bootstrap interval", True, -64, 64),
            Column("high", NUMBER, "upper end of the 95% bootstrap interval", True, -64, 64),
            _count("users", "users the mean was taken over"),
            Column("horizon_days", INTEGER, "days of events after the night that were looked at", minimum=1),
        ),
        ("evaluated_ds", "stage", "metric", "k", "compared_to", "slice"),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _ALL}
