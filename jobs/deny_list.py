"""Items that must never be recommended: a text file with one item_id a line ([recommend] deny_file)."""

from pathlib import Path

from feature_store.errors import SettingsError


def read_deny_list(name: str) -> tuple[str, ...]:
    """The ids of a file, sorted; none without a file. Empty lines do not count.

    SettingsError naming file and line where it cannot be read or a line is no text.
    """
    if not name:
        return ()
    path = Path(name).expanduser()
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SettingsError(f"recommend.deny_file {path} cannot be read ({error.strerror})") from None
    return tuple(sorted({found for n, line in enumerate(lines, 1) if (found := _item(path, n, line))}))


def _item(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise SettingsError(f"recommend.deny_file {path}, line {number}: is not UTF-8") from None
    if not text.isprintable():
        raise SettingsError(
            f"recommend.deny_file {path}, line {number}: {text!r} is no item_id; one stands on each line"
        )
    return text
