"""What a log says of long work, by a clock that is moved by hand."""

import pytest

from jobs import progress
from jobs.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_share_pace_and_time_left(clock, capsys):
    with Progress(10, "embed", "text") as bar:
        clock[0] += 20
        bar.update(5, "extra")
    assert capsys.readouterr().err == "embed: 5/10 texts, 0.2/s, 20 s left, extra\n"


def test_more_than_one_pass_is_passes(clock, capsys):
    with Progress(2, "align", "pass") as bar:
        clock[0] += 20
        bar.update(2)
    assert capsys.readouterr().err == "align: 2/2 passes, 0.1/s, 0 s left\n"


def test_slow_work_is_told_in_seconds_each_and_the_end_once(clock, capsys):
    with Progress(2, "backfill", "night") as bar:
        clock[0] += 60
        bar.update()
        clock[0] += 60
        bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "backfill: 1/2 nights, 60 s each, 60 s left",
        "backfill: 2/2 nights, 60 s each, 0 s left",
    ]


def test_short_work_says_its_end_only(clock, capsys):
    with Progress(3, "ingest", "day") as bar:
        for _ in range(3):
            clock[0] += 1
            bar.update()
    assert capsys.readouterr().err == "ingest: 3/3 days, 1.0/s, 0 s left\n"
