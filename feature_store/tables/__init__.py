"""Every table Nightmill publishes, declared once: columns, types, keys, ranges.

Parquet schemas, DuckDB views, Spark schemas, Great Expectations suites and docs/features.md (`make docs`) are
made from these files, one for each stage. A new feature is one column in a transform and one line here.
"""

from feature_store.contract import Table
from feature_store.tables import features, generated, lists, ranking, recall, source
from feature_store.tables.features import ITEM_FEATURES, USER_FEATURES
from feature_store.tables.lists import METRICS
from feature_store.tables.ranking import PAIR_FEATURES
from feature_store.tables.recall import BLENDED, CHANNEL_COLUMNS, CHANNELS

__all__ = [
    "BLENDED",
    "CHANNELS",
    "CHANNEL_COLUMNS",
    "ITEM_FEATURES",
    "METRICS",
    "PAIR_FEATURES",
    "TABLES",
    "USER_FEATURES",
]

_STAGES = (source, generated, features, recall, ranking, lists)
TABLES: dict[str, Table] = {table.name: table for stage in _STAGES for table in stage.TABLES}
