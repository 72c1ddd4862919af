import stat

import pytest

from feature_store.errors import NightmillError
from infra.cluster.passwords import passwords, write_private


def test_passwords_are_made_once_and_only_their_owner_may_read_them(tmp_path):
    path = tmp_path / "cluster" / "passwords.json"
    first = passwords(path, ["admin", "viewer"])
    assert passwords(path, ["admin"]) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(first.values())) == 2
    assert passwords(path, ["operator"]) == {**first, "operator": passwords(path, [])["operator"]}


def test_passwords_that_others_may_read_are_refused(tmp_path):
    path = tmp_path / "passwords.json"
    passwords(path, ["admin"])
    path.chmod(0o644)
    with pytest.raises(NightmillError, match="chmod 600"):
        passwords(path, ["admin"])


def test_a_private_file_was_never_readable_by_others(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
