import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from jobs.sources import blocks, tables

GOOD = "ann,a,2020-01-01,buy,1"
LINES = st.sampled_from(
    [
        *(GOOD, "bob,b,1577836800,buy,2", "bob,b,2020-01-03,view,1", "eve,a,2020-01-04,back,-2"),
        *(
            "ann,a",
            " ,a,2020-01-01,buy,1",
            "ann,a,noon,buy,1",
            "ann,a,2020-01-01,buy,x",
            'ann,"a,2020-01-01,buy,1',
        ),
        *("ann,a,2020-01-01,buy,-3", '"a""n",a,2020-01-01,buy,1', "ann,a,2020-01-01,,1"),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(lines=st.lists(LINES, max_size=12), size=st.integers(8, 200))
def test_every_row_is_kept_refused_left_out_or_merged(settings_of, lines, size):
    text = "\n".join(["user,item,time,type,n", *lines, GOOD, ""])
    mapping = settings_of(
        {"interactions.csv": text, "items.csv": "item,title\na,Apple\n"},
        SOURCE__EVENT="type",
        SOURCE__EVENT_WEIGHTS='{"buy": 1, "back": -1}',
        SOURCE__VALUE="n",
        SOURCE__MAX_REFUSED_SHARE="1",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        raw = tables.read(mapping)
    account = raw.accounts["interactions"]
    assert account.read == len(lines) + 1
    assert account.read == account.kept + len(account.refused) + account.left_out + account.merged
    assert account.kept == raw.events.num_rows
    assert account.left_out == sum(",view," in line for line in lines)
    assert len({row.where for row in account.refused}) == len(account.refused)


def test_a_few_corrupt_lines_are_refused_and_too_many_stop(read):
    lines = ["user,item,time", *(f"u{n},a,2020-01-01" for n in range(99)), "corrupt"]
    raw = read({"interactions.csv": "\n".join(lines)})
    assert [(row.where, row.problem) for row in raw.refused] == [("interactions.csv:101", "1 fields, not 3")]
    with pytest.raises(
        NightmillError, match=r"1 of 100 rows of interactions.*: interactions\.csv:101 1 fields, not 3;"
    ):
        read({"interactions.csv": "\n".join(lines)}, SOURCE__MAX_REFUSED_SHARE="0.005")


@pytest.mark.parametrize("content", ["", "user,item,time\n"], ids=["no byte", "a header"])
def test_an_empty_file_is_named(read, content):
    with pytest.raises(NightmillError, match=r"no row of interactions: .*interactions\.csv is empty"):
        read({"interactions.csv": content})


def test_an_empty_part_of_a_folder_is_no_harm(read):
    raw = read({"interactions/1.csv": "", "interactions/2.csv": "user,item,time\nann,a,2020-01-01\n"})
    assert raw.events.num_rows == 1


def test_a_damaged_parquet_file_is_named(read):
    with pytest.raises(NightmillError, match=r"cannot read .*interactions\.parquet"):
        read({"interactions.parquet": b"PAR1 but not really"})


def test_a_source_of_which_nothing_can_be_used_is_empty_where_that_is_allowed(read):
    raw = read({"interactions.csv": "user,item,time\nann,a,noon\n"}, SOURCE__MAX_REFUSED_SHARE="1")
    assert (raw.events.num_rows, raw.users.num_rows, raw.items.num_rows) == (0, 0, 2)
