import pytest

from feature_store.errors import SettingsError
from jobs.deny_list import read_deny_list


def write(tmp_path, content):
    path = tmp_path / "deny.txt"
    path.write_bytes(content)
    return str(path)


def test_one_item_a_line_blank_lines_and_repeats_do_not_count(tmp_path):
    name = write(tmp_path, "\ufeffb\r\na\n\n  b \nTV 7\n".encode())
    assert read_deny_list(name) == ("TV 7", "a", "b")
    assert read_deny_list(write(tmp_path, b"")) == ()
    assert read_deny_list("") == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a\n\xff\n", r"deny.txt, line 2: is not UTF-8"), (b"a\nb\nc\td\n", r"line 3: 'c\\td' is no item_id")],
)
def test_a_bad_line_is_named_with_its_file(content, said, tmp_path):
    with pytest.raises(SettingsError, match=said):
        read_deny_list(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"recommend.deny_file .*gone.txt cannot be read \(No such file"):
        read_deny_list(str(tmp_path / "gone.txt"))
