"""The real model behind the shared server: profiles, choices, reuse, and a run killed midway."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.llm.ask import Outcome, ask
from jobs.llm.engine import find_model, sampling_ref
from jobs.llm.prompt import load_prompt
from jobs.llm.server import stop_server
from jobs.llm.wire import ServerFiles
from jobs.night import Night

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
DS = date(1998, 1, 2)


def running(settings: Settings) -> list[ServerFiles]:
    return [files for files in ServerFiles.all(settings.data_root) if files.alive()]


def profile(settings: Settings, night: Night) -> list[Outcome]:
    model, prompt = find_model(settings), load_prompt("profile_item", 1)
    rows = [golden["row"] for golden in prompt.golden[:2]]
    requests = [
        prompt.request(f"i{n}", row, model.ref, sampling_ref(settings, 96)) for n, row in enumerate(rows)
    ]
    return ask(night, requests, lambda _, value: value, model, "profiles")


def choose(settings: Settings, night: Night) -> list[Outcome]:
    model, prompt = find_model(settings), load_prompt("choose_item", 1)
    row = prompt.golden[0]["row"]
    flipped = row | {"a": row["b"], "b": row["a"]}
    requests = [
        prompt.request(f"q{n}", each, model.ref, sampling_ref(settings, 1))
        for n, each in enumerate((row, flipped))
    ]
    return ask(night, requests, lambda _, value: value, model, "choices")


def tonight(settings: Settings) -> Night:
    return Night(DS, settings, Store(settings.data_root), {}, "run")


def test_two_jobs_ask_one_server_and_the_answers_are_kept(engine_settings: Settings) -> None:
    first = profile(engine_settings, tonight(engine_settings))
    (server,) = running(engine_settings)
    started = server.address.read_text("utf-8")
    night = tonight(engine_settings)
    second = choose(engine_settings, night)
    assert server.address.read_text("utf-8") == started
    schema = load_prompt("profile_item", 1).output
    for outcome in first:
        jsonschema.validate(outcome.values, schema)
    for outcome in second:
        assert outcome.values is not None
        assert sum(outcome.values.values()) == pytest.approx(1)
        assert min(outcome.values.values()) > 0
    assert night.counts["output_tokens"] == 2
    assert night.counts["prompt_tokens"] > 100


def test_a_killed_run_goes_on_where_it_was(engine_settings: Settings, engine_environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "jobs.cli"]
    subprocess.run([*command, "ingest", "--ds", str(DS)], env=os.environ | engine_environ, check=True)
    folder = engine_settings.data_root / "generations" / "profile_item"
    before = parts(folder)
    job = [*command, "profile_items", "--ds", str(DS)]
    process = subprocess.Popen(job, env=os.environ | engine_environ)
    while len(parts(folder)) < len(before) + 2:
        assert process.poll() is None, "it was faster than the kill"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = keys(folder)
    assert Store(engine_settings.data_root).published("item_profiles", DS) is None

    subprocess.run(job, env=os.environ | engine_environ, check=True)
    published = Store(engine_settings.data_root).published("item_profiles", DS)
    assert published is not None
    counts = published.manifest["counts"]
    after = keys(folder)
    assert len(set(after)) == len(after)
    assert counts["asked"] == len(after) - len(kept) < 24
    assert counts["selected"] == 24
    assert (
        counts["written"]
        + counts["carried_forward"]
        + sum(published.manifest["rows"]["quarantined"].values())
        == counts["selected"]
    )


def test_a_killed_server_is_replaced_and_the_run_goes_on(
    engine_settings: Settings, engine_environ: dict[str, str]
) -> None:
    folder = engine_settings.data_root / "generations" / "profile_item"
    before = keys(folder)
    # another seed is another question: all 24 are asked anew
    environ = os.environ | engine_environ | {"NIGHTMILL_GENERATION__SAMPLING__SEED": "5"}
    job = [sys.executable, "-m", "jobs.cli", "profile_items", "--ds", str(DS)]
    process = subprocess.Popen(job, env=environ, stderr=subprocess.PIPE, text=True)
    while len(keys(folder)) < len(before) + 4:
        assert process.poll() is None, "it was faster than the kill"
        time.sleep(0.02)
    (server,) = running(engine_settings)
    os.kill(json.loads(server.address.read_text("utf-8"))["pid"], signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "the model server stopped" in said
    new = keys(folder)[len(before) :]
    assert len(set(new)) == len(new) >= 24
    published = Store(engine_settings.data_root).published("item_profiles", DS)
    assert published is not None
    assert published.manifest["counts"]["selected"] == 24
    assert "engine_error" not in published.manifest["rows"]["quarantined"]


def test_what_was_answered_starts_no_engine(engine_settings: Settings) -> None:
    profile(engine_settings, tonight(engine_settings))
    stop_server(engine_settings.data_root)
    night = tonight(engine_settings)
    assert all(outcome.reused for outcome in profile(engine_settings, night))
    assert night.counts["asked"] == 0
    assert running(engine_settings) == []


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def keys(folder: Path) -> list[str]:
    return [key for part in parts(folder) for key in pq.read_table(part)["key"].to_pylist()]
