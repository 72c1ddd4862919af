"""The list of forgotten users: in hashes, on all machines with the same remote, never lost in silence."""

import pyarrow as pa
import pytest

from feature_store.errors import NightmillError
from feature_store.forgotten import FILE, Forgotten, add
from feature_store.partitions import Store
from feature_store.remote import RemoteStore


def test_who_is_on_the_list_is_known_and_not_named(tmp_path):
    store = Store(tmp_path)
    assert "ann" not in Forgotten.read(store)
    assert add(store, ["ann", "bob", "ann"]) == 2
    assert add(store, ["bob", "eve"]) == 1
    listed = Forgotten.read(store)
    assert [user in listed for user in ("ann", "bob", "eve", "an", "ann ")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert listed.among(pa.array(["ann", None, "carl", "eve"])).to_pylist() == [True, False, False, True]
    assert "ann" not in (tmp_path / FILE).read_text()


def test_an_empty_list_leaves_nobody_out(tmp_path):
    assert Forgotten.read(Store(tmp_path)).among(pa.array(["ann", None])).to_pylist() == [False, False]


def test_two_data_roots_have_salts_of_their_own(tmp_path):
    for name in "ab":
        add(Store(tmp_path / name), ["ann"])
    assert (tmp_path / "a" / FILE).read_text() != (tmp_path / "b" / FILE).read_text()


def test_what_one_machine_forgets_all_leave_out(tmp_path):
    add(Store(tmp_path / "b"), ["before there was a remote"])
    a, b = (RemoteStore(tmp_path / name, f"file://{tmp_path / 'remote'}") for name in "ab")
    add(a, ["ann"])
    assert "ann" in Forgotten.read(b)
    add(b, ["bob"])
    for store in (a, b):
        listed = Forgotten.read(store)
        assert all(user in listed for user in ("ann", "bob", "before there was a remote"))


def test_a_damaged_list_brings_nobody_back(tmp_path):
    add(Store(tmp_path), ["ann"])
    (tmp_path / FILE).write_text("{")
    with pytest.raises(NightmillError, match=r"forgotten\.json of .* is damaged"):
        Forgotten.read(Store(tmp_path))
