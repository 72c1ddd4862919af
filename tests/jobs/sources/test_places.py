import fsspec
import pytest

from feature_store.errors import NightmillError, SettingsError
from jobs.sources import formats, places, tables

EVENTS = "user,item,time\nann,a,2020-01-01\n"
MORE = "user,item,time\nbob,b,2020-01-02\n"
ITEMS = "item,title\na,Apple\n"


def _users(raw):
    return sorted(raw.events["user_id"].unique().to_pylist())


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        ({"log/1.csv": EVENTS, "log/2.csv.gz": MORE, "log/_SUCCESS": "", "log/.part.crc": "x"}, "log"),
        ({"log/1.csv": EVENTS, "log/deep/2.csv": MORE, "log/notes.txt": "no"}, "log/**/*.csv"),
        ({"2020-01.csv": EVENTS, "2020-02.csv": MORE}, "2020-*.csv"),
        ({"log [1].csv": EVENTS + MORE.split("\n", 1)[1]}, "log [1].csv"),
        ({"both.csv": EVENTS + MORE.split("\n", 1)[1]}, "both.csv"),
        ({"interactions/1.csv": EVENTS, "interactions/2.csv": MORE}, ""),
    ],
    ids=["folder", "deep glob", "glob", "file with brackets", "file", "by default"],
)
def test_a_role_is_a_file_a_folder_or_a_glob(read, files, pattern):
    assert _users(read(files, SOURCE__INTERACTIONS=pattern)) == ["ann", "bob"]


def test_roles_may_lie_in_different_places(read, tmp_path):
    (tmp_path / "elsewhere.csv").write_text(EVENTS)
    raw = read({"items.csv": ITEMS}, SOURCE__INTERACTIONS=str(tmp_path / "elsewhere.csv"))
    assert _users(raw) == ["ann"]


def test_any_file_system_of_fsspec_may_hold_the_source(settings_of):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/shop/interactions.csv": EVENTS.encode(), "/shop/items.csv": ITEMS.encode()})
    try:
        assert _users(tables.read(settings_of({}, SOURCE__LOCATION="memory://shop"))) == ["ann"]
        apart = settings_of(
            {},
            SOURCE__LOCATION="",
            SOURCE__INTERACTIONS="memory://shop/inter*.csv",
            SOURCE__ITEMS="memory://shop/items.csv",
        )
        assert _users(tables.read(apart)) == ["ann"]
    finally:
        memory.rm("/shop", recursive=True)


def test_a_file_system_without_its_driver_says_what_to_install(read):
    with pytest.raises(SettingsError, match=r"s3://shop cannot be reached: .*s3fs"):
        read({}, SOURCE__LOCATION="s3://shop")


def test_a_role_without_file_says_what_is_there_and_which_setting_names_it(read):
    with pytest.raises(
        NightmillError,
        match=r"no file for interactions \(.*it holds clicks\.csv, items\.csv\. Name",
    ):
        read({"clicks.csv": EVENTS, "items.csv": ITEMS})
    with pytest.raises(SettingsError, match=r"source\.interactions = 'log' matches no file"):
        read({"items.csv": ITEMS}, SOURCE__INTERACTIONS="log")


def test_a_suffix_nobody_knows_is_named(read):
    with pytest.raises(SettingsError, match=r"clicks\.xlsx: what a \.xlsx holds is not known \(\.parquet"):
        read({"clicks.xlsx": EVENTS, "items.csv": ITEMS}, SOURCE__INTERACTIONS="clicks.xlsx")


def test_a_format_nobody_knows_is_named_with_those_there_are(read):
    with pytest.raises(
        SettingsError, match=r"source\.format = 'netflix' is not known; there are: auto, recbole"
    ):
        read({"interactions.csv": EVENTS}, SOURCE__FORMAT="netflix")


def test_a_file_plays_one_role(settings_of):
    settings = settings_of({"Toys_5.json.gz": "{}", "meta_Toys.json.gz": "{}"}, profile="amazon_2018")
    found = places.find(settings, formats.find("amazon-2018").patterns)
    assert {role: [file.name for file in files] for role, files in found.items()} == {
        "interactions": ["Toys_5.json.gz"],
        "items": ["meta_Toys.json.gz"],
    }
