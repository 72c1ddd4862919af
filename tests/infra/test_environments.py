"""Environments of their own: made from a lock file, kept while it is the same, made anew when it is not."""

import subprocess

import pytest

from feature_store.errors import NightmillError
from infra.environments import interpreter


def _installed(python):
    asked = "from importlib.metadata import distributions; print(sorted(d.name for d in distributions()))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def locks(tmp_path):
    """A folder of lock files with one of nothing; nothing in it needs a network."""
    folder = tmp_path / "lock"
    folder.mkdir()
    (folder / "empty.txt").write_text("# nothing\n")
    return folder


def test_an_environment_is_made_once_and_shares_nothing_with_ours(locks, tmp_path):
    python = interpreter("empty", tmp_path, locks)
    assert _installed(python) == "[]"
    made = python.lstat().st_mtime_ns
    assert interpreter("empty", tmp_path, locks) == python
    assert python.lstat().st_mtime_ns == made


def test_a_changed_lock_makes_it_anew(locks, tmp_path):
    left_over = interpreter("empty", tmp_path, locks).parent / "left-over"
    left_over.touch()
    (locks / "empty.txt").write_text("# still nothing\n")
    interpreter("empty", tmp_path, locks)
    assert not left_over.exists()


def test_what_cannot_be_installed_is_named_and_tried_again(locks, tmp_path):
    (locks / "absent.txt").write_text(f"{tmp_path}/absent-1.0-py3-none-any.whl\n")
    for _ in range(2):
        with pytest.raises(NightmillError, match=r"absent\.txt could not be installed \(.*absent-1\.0"):
            interpreter("absent", tmp_path, locks)


def test_a_name_without_a_lock_says_what_writes_it(locks, tmp_path):
    with pytest.raises(NightmillError, match=r"there is no .*feast\.txt; `make lock` writes it"):
        interpreter("feast", tmp_path, locks)
