"""Tables of what the source says: events, the catalogue, users."""

from feature_store.contract import FLAG, NUMBER, TEXT, TEXTS, TIME, Column, Table
from feature_store.tables.columns import CURRENCY, item, user

TABLES = (
    Table(
        "interactions",
        "ingest",
        "What users did, one row an event, in the night it arrived for.",
        (
            user(),
            item(),
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
            item(),
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
        (user(), Column("attributes", TEXT, "permitted fields, a JSON object of texts")),
        ("user_id",),
    ),
)
