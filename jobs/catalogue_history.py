"""What the catalogue and the users were in a night that is ingested after a later one.

A source mostly says what holds now. A new night takes it at its word. To an older night that is the future:
there the source counts only where its rows have dates, and else what the nearest published night knew.
"""

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.partitions import Partition, read
from jobs.night import Night
from jobs.sources.catalogue import SINCE

KEYS = {"items": "item_id", "users": "user_id"}


def as_known(night: Night, table: str, current: pa.Table, dated: bool) -> pa.Table:
    """The rows of items or users as of a night.

    current: what the source says as of the night. dated: whether its rows have dates, so that this can be
    believed of the past as well.
    """
    published = night.store.partitions(table)
    if night.reprocess or all(partition.ds < night.ds for partition in published):
        return current
    before = [partition for partition in published if partition.ds <= night.ds]
    after = [partition for partition in published if partition.ds > night.ds]
    # Without dates the oldest later night is nearer to this one than the source is now.
    nearest = before[-1:] or ([] if dated else after[:1])
    if not nearest:
        return current if dated else current.slice(0, 0)
    remembered = _remembered(nearest[0], current)
    if not dated:
        return remembered
    key = KEYS[table]
    absent = pc.invert(pc.is_in(remembered[key], current[key].combine_chunks()))
    return pa.concat_tables([current, remembered.filter(absent)])


def _remembered(partition: Partition, current: pa.Table) -> pa.Table:
    """What a published night knew from its source, in the columns of `current`."""
    columns = [name for name in current.column_names if name != SINCE]
    rows = read(partition.table, partition.files, [*columns, SINCE])
    if "listed" in columns:
        return rows.filter(rows["listed"]).select(current.column_names)
    # A user's newest event is in the column; when the user's fields were written is not known any more.
    position = rows.column_names.index(SINCE)
    nothing = pa.nulls(rows.num_rows, rows[SINCE].type)
    return rows.set_column(position, rows.schema.field(SINCE), nothing).select(current.column_names)
