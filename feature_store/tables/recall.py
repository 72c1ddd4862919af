"""Tables of the first stage: how it is set up, its factors, and the candidates of every user."""

from feature_store.contract import DAY, INTEGER, NUMBER, TEXT, TEXTS, TIME, VECTOR, Column, Table
from feature_store.tables.columns import count, item, user

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

TABLES = (
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
            count("trials", "settings tried"),
            count("users", "users it was judged by"),
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
        (user(), Column("factors", VECTOR, "factors")),
        ("user_id",),
    ),
    Table(
        "item_factors",
        "fit_recall",
        "The recall model's item factors (implicit ALS).",
        (item(), Column("factors", VECTOR, "factors")),
        ("item_id",),
    ),
    Table(
        "candidates",
        "fit_recall",
        "What the channels propose for each active user, seen items removed (kept with recall.repeats).",
        (
            user(),
            item(),
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
)
