"""Tables of features as of a night: items, users, and what the next night counts on from."""

from feature_store.contract import FLAG, INTEGER, NUMBER, NUMBERS, TEXT, TEXTS, TIME, Column, Table
from feature_store.tables.columns import CURRENCY, count, item, llm, share, user


def _complete(entity: str) -> tuple[Column, ...]:
    """Flags of windows that are longer than the history: what they count is part of the truth."""
    return tuple(
        Column(f"{entity}_window_complete_{days}d", FLAG, f"false where history is shorter than {days} days")
        for days in (7, 30, 90)
    )


ITEM_FEATURES = (
    count("item_events_count_7d", "events on the item in the last 7 days"),
    count("item_events_count_30d", "events on the item in the last 30 days"),
    count("item_events_count_90d", "events on the item in the last 90 days"),
    count("item_events_count_lifetime", "events on the item in all of history"),
    count("item_users_count_30d", "distinct users of the item in the last 30 days"),
    Column("item_weight_mean_90d", NUMBER, "mean event weight in the last 90 days", nullable=True),
    share("item_returns_share_90d", "share of the events of negative weight (returns)"),
    Column("item_recency_days", NUMBER, "days since the last event, null for a cold item", True, 0),
    Column("item_age_days", NUMBER, "days since the first event, null for a cold item", True, 0, ages=True),
    Column(
        "item_trend_ratio_7d", NUMBER, "events a day of the last 7 days over those of the last 30", True, 0
    ),
    Column(
        "item_trend_ratio_30d", NUMBER, "events a day of the last 30 days over those of the last 90", True, 0
    ),
    Column("item_price", NUMBER, "price in the night's catalogue", True, 0, unit=CURRENCY),
    share("item_price_percentile_catalogue", "share of the catalogue's prices below the item's"),
    share("item_price_percentile_category", "the same within the item's most specific category"),
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
    count("user_events_count_7d", "events of the user in the last 7 days"),
    count("user_events_count_30d", "events of the user in the last 30 days"),
    count("user_events_count_90d", "events of the user in the last 90 days"),
    count("user_events_count_lifetime", "events of the user in all of history"),
    count("user_items_count_90d", "distinct items the user took in the last 90 days and kept"),
    Column("user_weight_mean_90d", NUMBER, "mean event weight in the last 90 days", nullable=True),
    share("user_returns_share_90d", "share of the events of negative weight (returns)"),
    Column("user_recency_days", NUMBER, "days since the last event", True, 0),
    Column("user_tenure_days", NUMBER, "days since the first event", True, 0, ages=True),
    Column(
        "user_trend_ratio_7d", NUMBER, "events a day of the last 7 days over those of the last 30", True, 0
    ),
    count("user_sessions_count_90d", "sessions in the last 90 days (features.session_minutes)"),
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

TABLES = (
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
            item(),
            *ITEM_FEATURES,
            Column("categories", TEXTS, "categories of the item"),
            Column("brand", TEXT, "brand of the item", nullable=True),
            llm("llm_tags", TEXTS, "tags of the item, empty without a profile"),
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
            user(),
            *USER_FEATURES,
            Column("user_category_names_90d", TEXTS, "categories of the user's events, by share"),
            Column("user_category_shares_90d", NUMBERS, "share of the user's events in each of them"),
            Column("user_brand_names_90d", TEXTS, "brands of the user's events, by share"),
            Column("user_brand_shares_90d", NUMBERS, "share of the user's events in each of them"),
            Column("user_recent_items_90d", TEXTS, "last items taken and kept, newest first"),
            llm("llm_interests", TEXTS, "interests of the user, empty without a profile"),
            llm("llm_recent_tags", TEXTS, "tags of user_recent_items_90d, in the order of the alphabet"),
        ),
        ("user_id",),
        drift=True,
        ttl_days=30,
    ),
)
