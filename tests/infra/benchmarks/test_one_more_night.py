"""The made inputs of one more night are what its contracts say, and the same whenever they are made."""

from datetime import timedelta

from feature_store.partitions import Store, read
from infra.benchmarks import one_more_night
from infra.benchmarks.one_more_night import EVENTS_A_DAY, LAST


def test_the_inputs_are_published_as_their_contracts_say(tmp_path):
    for name in ("one", "other"):
        one_more_night.write(tmp_path / name, days=2)
    stores = [Store(tmp_path / name) for name in ("one", "other")]
    for table in ("interactions", *one_more_night.ROWS):
        one, other = (
            [read(table, partition.files) for partition in store.partitions(table)] for store in stores
        )
        assert [rows.num_rows for rows in one] == [rows.num_rows for rows in other] == 2 * [one[0].num_rows]
        assert all(mine.equals(theirs) for mine, theirs in zip(one, other, strict=True))
    events = read("interactions", stores[0].published("interactions", LAST).files)
    assert events.num_rows == EVENTS_A_DAY
    days = {moment.date() for moment in events["event_time"].to_pylist()}
    assert days == {LAST}
    assert [p.ds for p in stores[0].partitions("items")] == [LAST - timedelta(days=1), LAST]
