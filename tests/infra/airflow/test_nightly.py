from datetime import date

import pytest

from feature_store.errors import UsageError
from infra.airflow.nightly import logical_dates, parse

DEFAULT = [date(1998, 1, 7), date(1997, 12, 31)]


def dates(*arguments: str) -> list[str]:
    return [ds.isoformat() for ds in logical_dates(parse(arguments), DEFAULT)]


def test_the_settings_dates_oldest_first() -> None:
    assert dates() == ["1997-12-31", "1998-01-07"]


def test_dates_are_sorted_and_not_run_twice() -> None:
    assert dates("--dates", "1998-01-03", "1998-01-01", "1998-01-03") == ["1998-01-01", "1998-01-03"]


def test_a_range_holds_both_ends() -> None:
    assert dates("--from", "1998-01-30", "--to", "1998-02-01") == ["1998-01-30", "1998-01-31", "1998-02-01"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "1998-01-01"], "--from and --to go together"),
        (["--from", "1998-01-02", "--to", "1998-01-01"], "swap them"),
        (["--dates", "1998-01-01", "--from", "1998-01-01", "--to", "1998-01-02"], "not both"),
        (["--dates", "1998-13-01"], "'1998-13-01' is not a date"),
    ],
)
def test_contradictions(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dates(*arguments)
