"""Which sets are measured: the three by name, a folder, a folder of folders, and what is not there."""

import pytest

from feature_store.errors import UsageError
from infra.benchmarks.quality_sets import choose
from tests.infra.benchmarks.test_detected_source import write


@pytest.fixture
def place(tmp_path):
    """A folder of two sets."""
    folder = tmp_path / "place"
    folder.mkdir()
    for name in ("online_retail", "toys"):
        write(folder / name)
    return folder


@pytest.fixture
def scratch(tmp_path):
    """Where sets may write."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def names(*given):
    return [one.name for one in choose(*given)]


def test_a_folder_of_files_is_one_set(place, scratch):
    (one,) = choose(place / "toys", "", scratch)
    assert one.name == "toys"
    assert one.environ["NIGHTMILL_SOURCE__LOCATION"] == f'"{place}/toys"'


def test_a_folder_of_folders_is_as_many_and_names_choose(place, scratch, tmp_path):
    assert names(place, "", scratch) == ["online_retail", "toys"]
    assert names(place, "movielens-100k, toys", _other(tmp_path)) == ["movielens-100k", "toys"]


def test_the_built_in_set_needs_no_folder(scratch, tmp_path):
    (one,) = choose(None, "movielens-100k", scratch, tmp_path / "nowhere")
    assert one.environ == {}


def test_what_is_not_there_is_named_with_the_remedy(place, scratch):
    with pytest.raises(UsageError, match=r"ml_latest_small: not in .*place; give the folder .* with --data"):
        choose(None, "", scratch, place)
    with pytest.raises(UsageError, match=r"is not a folder"):
        choose(place / "absent", "", scratch)
    with pytest.raises(UsageError, match=r"holds no interactions\.parquet"):
        choose(scratch, "", scratch)


def _other(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    return folder
