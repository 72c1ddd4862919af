import subprocess
import sys

import pytest

from feature_store.errors import BudgetExhausted, NightmillError, UsageError
from jobs import cli
from jobs.step import Outcome


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ingest"], "--ds"),
        (["ingest", "--ds", "yesterday"], "'yesterday' is not a date like 1998-01-07"),
        (["ingest", "--ds", "1998-13-01"], "is not a date"),
        (["ingest", "--ds", "19980107"], "is not a date"),
        (["profile_items", "--ds", "1998-01-07", "--shard", "3/2"], "is not a shard"),
        (["run"], "--ds D"),
        (["run", "--from", "1998-01-07"], "go together"),
        (["run", "--from", "1998-01-07", "--to", "1998-01-01"], "is before --from"),
        (["fly"], "fly"),
        ([], "COMMAND"),
        (["ingest", "--ds", "1998-01-07", "--shard", "1/2"], "cannot be sharded"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(argv, message, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        cli.run(argv)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_job_without_its_input_names_the_job_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    with pytest.raises(NightmillError, match=r"run `nightmill ingest --ds 1998-01-07` first"):
        cli.run(["profile_items", "--ds", "1998-01-07"])


def test_a_data_root_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(NightmillError, match="cannot be written"):
        cli.check_data_root(blocker / "data")


def test_errors_leave_the_process_as_one_line_without_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "ingest", "--ds", "soon"],
        capture_output=True,
        text=True,
        env={"PATH": "", "NIGHTMILL_DATA": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("nightmill: argument --ds:")


def test_every_job_of_the_chain_is_what_its_file_says():
    for name in cli.CHAIN:
        assert cli.load_job(name).name == name


def test_heavy_libraries_stay_out_until_their_work_starts():
    heavy = "vllm pyspark lightgbm implicit numba torch airflow great_expectations transformers"
    script = (
        "import sys, jobs.cli as cli\n"
        "for name in cli.CHAIN: cli.load_job(name)\n"
        f"print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("published", "ran"), [(True, list(cli.CHAIN)), (False, ["ingest", "profile_items"])]
)
def test_a_chain_goes_on_after_a_used_up_budget_where_enough_was_published(
    published, ran, tmp_path, monkeypatch
):
    seen = []

    def execute(job, ds, settings):
        seen.append(job.name)
        if job.name == "profile_items":
            raise BudgetExhausted("the token budget is used up", published=published)
        return Outcome(job.name, ds, False, 0.0)

    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    monkeypatch.setattr(cli, "execute", execute)
    with pytest.raises(BudgetExhausted) as caught:
        cli.run(["run", "--ds", "1998-01-07"])
    assert caught.value.exit_code == 4
    assert seen == ran


def test_a_replay_of_what_is_no_job_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="there is no job 'fly'"):
        cli.run(["replay", "fly", "--ds", "1998-01-07"])
