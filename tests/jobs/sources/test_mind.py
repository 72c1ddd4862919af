import pytest

from feature_store.errors import NightmillError

BEHAVIORS = (
    "1\tU1\t11/13/2019 8:36:57 AM\tN9 N8\tN1-1 N2-0\n"
    "2\tU2\t11/13/2019 12:05:00 PM\t\tN2-1\n"
    "3\tU1\t11/14/2019 12:00:00 AM\tN9\tN1-0\n"
)
NEWS = (
    'N1\tsports\tsoccer\tThe "best goal\tAn abstract\thttps://x\t[]\t[{"Label": "a"}]\n'
    "N2\tnews\tworld\tSecond\t\thttps://y\t[]\t[]\n"
)


def _events(raw):
    rows = raw.events.sort_by([("event_time", "ascending"), ("item_id", "ascending")]).to_pylist()
    return [
        (r["user_id"], r["item_id"], r["event_time"].isoformat()[:19], r["event_type"], r["weight"])
        for r in rows
    ]


def test_what_was_clicked_is_an_event_and_a_quote_is_a_character(read):
    raw = read({"behaviors.tsv": BEHAVIORS, "news.tsv": NEWS}, profile="mind")
    assert _events(raw) == [
        ("U1", "N1", "2019-11-13T08:36:57", "clicked", 1.0),
        ("U2", "N2", "2019-11-13T12:05:00", "clicked", 1.0),
    ]
    items = {row["item_id"]: row for row in raw.items.to_pylist()}
    assert items["N1"]["title"] == 'The "best goal'
    assert items["N1"]["categories"] == ["sports", "soccer"]
    assert items["N2"]["description"] is None
    account = raw.accounts["interactions"]
    assert (account.read, account.kept, account.left_out) == (4, 2, 2)


def test_what_was_shown_is_an_event_when_the_settings_give_it_a_weight(read):
    raw = read(
        {"behaviors.tsv": BEHAVIORS, "news.tsv": NEWS},
        profile="mind",
        SOURCE__EVENT_WEIGHTS='{"clicked": 1, "shown": -0.1}',
    )
    assert [(item, kind, weight) for _, item, _, kind, weight in _events(raw)] == [
        ("N1", "clicked", 1.0),
        ("N2", "shown", -0.1),
        ("N2", "clicked", 1.0),
        ("N1", "shown", -0.1),
    ]


def test_parts_in_folders_beside_each_other_are_read_together(read):
    files = {"train/behaviors.tsv": BEHAVIORS, "train/news.tsv": NEWS}
    files |= {"dev/behaviors.tsv": BEHAVIORS.replace("U1", "U3"), "dev/news.tsv": NEWS}
    raw = read(files, profile="mind")
    assert sorted(set(raw.events["user_id"].unique().to_pylist())) == ["U1", "U2", "U3"]
    assert raw.items.num_rows == 2


def test_impressions_without_labels_are_named(read):
    with pytest.raises(NightmillError, match=r"behaviors\.tsv:1 impressions are not all labelled"):
        read({"behaviors.tsv": "1\tU1\t11/13/2019 8:36:57 AM\t\tN1 N2\n", "news.tsv": NEWS}, profile="mind")
