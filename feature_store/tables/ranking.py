"""Tables of the second stage: what a ranker learns from, what its features are worth, and the ranker."""

from dataclasses import replace

from feature_store.contract import DAY, GROUPS, INTEGER, NUMBER, NUMBERS, TEXT, TEXTS, TIME, Column, Table
from feature_store.tables.columns import count, item, share, user
from feature_store.tables.features import ITEM_FEATURES, USER_FEATURES
from feature_store.tables.recall import CHANNEL_COLUMNS


def _generated(group: str, column: Column) -> Column:
    """A feature that would be another one with another model."""
    return replace(column, from_model=True, group=group)


def _cosine(name: str, doc: str) -> Column:
    """A cosine, which rounding may bring a little past 1; null without both vectors."""
    return Column(name, NUMBER, doc, True, -1.001, 1.001)


PAIR_FEATURES = (
    share("pair_category_affinity_90d", "share of the user's events in the item's categories"),
    share("pair_brand_affinity_90d", "share of the user's events on items of the item's brand"),
    Column(
        "pair_price_distance_90d",
        NUMBER,
        "how many times the user's median price the item costs, or the other way round, as a logarithm",
        True,
        0,
    ),
    _generated(
        "user_text", count("llm_pair_interests_overlap", "tags of the item that are interests of the user")
    ),
    _generated(
        "item_text",
        count("llm_pair_recent_tags_overlap", "tags of the item that an item the user took lately has"),
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


# What an as-of join adds to a row: null where nothing was known yet.
JOINED = (
    *(replace(column, nullable=True) for column in (*ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES)),
    Column("features_known_at", TIME, "newest known_at among the rows joined in", nullable=True),
)

TABLES = (
    Table(
        "training_set",
        "build_training_set",
        "Lists of past nights with what was known when they were, labelled by what users then took.",
        (
            user(),
            item(),
            Column("query_time", TIME, "when the list was known: every feature was known at or before it"),
            Column("window", DAY, "night of the list: a label window begins with it"),
            Column("label", INTEGER, "1 when the user took the item in the window", minimum=0, maximum=1),
            Column("label_time", TIME, "time of the event behind a positive label", nullable=True),
            Column(
                "relevant_count", INTEGER, "items the user took in the window, in the list or not", minimum=1
            ),
            *CHANNEL_COLUMNS,
            *JOINED,
        ),
        ("user_id", "query_time", "item_id"),
        in_order=(("features_known_at", "query_time"), ("query_time", "label_time"), ("query_time", "as_of")),
    ),
    Table(
        "synthetic_pairs",
        "build_training_set",
        "Synthetic interactions of past nights with what was known then: a ranker learns from them a little.",
        (
            user(),
            item(),
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
            *JOINED,
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
            share("value", "NDCG@10 with the variant"),
            share("other", "NDCG@10 of what it is compared to"),
            Column("lift", NUMBER, "value - other, mean over users", True, -1, 1),
            Column("low", NUMBER, "lower end of the 95% paired bootstrap interval", True, -1, 1),
            Column("high", NUMBER, "upper end of the 95% paired bootstrap interval", True, -1, 1),
            count("users", "users the means were taken over"),
            count("tokens", "tokens read and written for the group's rows as they were published"),
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
            count("windows", "label windows in the training set"),
            count("groups", "query groups in the training set"),
            count("rows", "rows trained on"),
            count("positives", "positive rows trained on"),
            count("rounds", "boosting rounds kept"),
            share(
                "valid_ndcg_at_10", "NDCG@10 on the newest window, of a ranker that has not learnt from it"
            ),
            Column("champion_ds", DAY, "night of the ranker tonight's was compared with", nullable=True),
            Column("challenger_lift", NUMBER, "NDCG@10 of tonight's minus the champion's", True, -1, 1),
            Column("challenger_low", NUMBER, "lower end of its 95% interval", True, -1, 1),
            Column("challenger_high", NUMBER, "upper end of its 95% interval", True, -1, 1),
        ),
        ("ds",),
    ),
)
