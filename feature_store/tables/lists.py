"""Tables of what people are shown, and how good it was."""

from feature_store.contract import DAY, FLAG, INTEGER, NUMBER, TEXT, TEXTS, Column, Table
from feature_store.tables.columns import count, item, user

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

TABLES = (
    Table(
        "recommendations",
        "recommend",
        "The published lists: the best items of every active user.",
        (
            user(),
            Column("rank", INTEGER, "1 is best", minimum=1),
            item(),
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
            count("users", "users the mean was taken over"),
            Column("horizon_days", INTEGER, "days of events after the night that were looked at", minimum=1),
        ),
        ("evaluated_ds", "stage", "metric", "k", "compared_to", "slice"),
    ),
)
