import json
import logging
import subprocess
import sys
import threading
import warnings

import pytest

from jobs import logs

JSON = {"NIGHTMILL_LOG__FORMAT": "json", "NIGHTMILL_GENERATION__ENGINE": "none"}


@pytest.fixture
def _restored(monkeypatch):
    """What `install` replaces, as it was."""
    for name in ("stdout", "stderr", "excepthook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before
    logs._about.clear()


def _nightmill(tmp_path, settings, *arguments, environ=None):
    """Run a command in a process of its own; returns exit code, stdout and stderr."""
    own = {"NIGHTMILL_DATA": str(tmp_path / "data"), "NIGHTMILL_SOURCE": settings.source.model_dump_json()}
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        env=own | JSON | (environ or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_a_job_says_which_run_it_is_of(make_settings, tmp_path):
    code, out, _ = _nightmill(tmp_path, make_settings(), "ingest", "--ds", "1998-01-02")
    (done,) = _objects(out)
    assert code == 0
    assert (done["level"], done["job"], done["ds"]) == ("info", "ingest", "1998-01-02")
    pointer = tmp_path / "data/tables/items/ds=1998-01-02/published.json"
    assert done["run_id"] == json.loads(pointer.read_text("utf-8"))["run_id"]
    assert done["message"].startswith("1998-01-02 ingest: done in")


def test_an_error_is_one_object_and_keeps_its_exit_code(make_settings, tmp_path):
    code, out, err = _nightmill(tmp_path, make_settings(), "embed", "--ds", "1998-01-02")
    (said,) = _objects(err)
    assert (code, out, said["level"], said["job"]) == (1, "", "error", "embed")
    assert "needs items of 1998-01-02" in said["message"]
    assert "run_id" not in said


def test_a_result_stays_what_was_asked_for(make_settings, tmp_path):
    _, out, _ = _nightmill(tmp_path, make_settings(), "sql", "SELECT 1 AS one", "--format", "csv")
    assert out.split() == ["one", "1"]


def test_text_is_what_it_was(make_settings, tmp_path):
    text = {"NIGHTMILL_LOG__FORMAT": "text"}
    _, out, _ = _nightmill(tmp_path, make_settings(), "ingest", "--ds", "1998-01-02", environ=text)
    assert out.startswith("1998-01-02 ingest: done in")


@pytest.mark.usefixtures("_restored")
def test_prints_warnings_and_log_records_become_objects(make_settings, capsys):
    settings = make_settings(LOG__FORMAT="json")
    logs.install(settings, stdout=True)
    print("half a ", end="", file=sys.stderr)
    print("line", file=sys.stderr)
    sys.stderr.write("10%\r50%\r100%\n\n")
    warnings.warn("old", FutureWarning, stacklevel=1)
    logging.getLogger("library").warning("%d rows", 3)
    logging.getLogger("library").info("not shown")
    captured = capsys.readouterr()
    said = _objects(captured.err)
    assert [(line["level"], line["message"]) for line in said] == [
        ("info", "half a line"),
        ("info", "100%"),
        ("warning", "FutureWarning: old"),
        ("warning", "3 rows"),
    ]
    assert not sys.stderr.isatty()


@pytest.mark.usefixtures("_restored")
def test_an_error_nobody_caught_is_one_object_with_its_traceback(make_settings, capsys):
    logs.install(make_settings(LOG__FORMAT="json"))
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    (said,) = _objects(capsys.readouterr().err)
    assert (said["level"], said["message"]) == ("error", "ValueError: no such thing")
    assert "test_logs.py" in said["traceback"]


@pytest.mark.usefixtures("_restored")
def test_lines_of_threads_do_not_mix(make_settings, capsys):
    logs.install(make_settings(LOG__FORMAT="json"))
    both_begun = threading.Barrier(2)

    def write(name):
        sys.stderr.write(f"{name} begins, ")
        both_begun.wait()
        sys.stderr.write(f"{name} ends\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = {line["message"] for line in _objects(capsys.readouterr().err)}
    assert said == {"one begins, one ends", "two begins, two ends"}
