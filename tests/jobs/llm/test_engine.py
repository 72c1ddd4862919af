"""The real model behind the shared server: profiles, choices, reuse, and a run killed midway."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import jsonschema
import psutil
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store
from feature_store.settings import Settings, load_settings
from jobs.llm.ask import Outcome, ask
from jobs.llm.engine import find_model, sampling_ref
from jobs.llm.prompt import load_prompt
from jobs.llm.server import stop_server
from jobs.llm.wire import ServerFiles
from jobs.night import Night

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
DS = date(1998, 1, 2)
GENRES = ("Comedy", "Drama", "Action", "Western")
PLACES = ("Harbour", "Meadow", "Station", "Island", "Library", "Orchard")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that name a data root and a source with 24 items, all of them in scope."""
    root = tmp_path_factory.mktemp("engine")
    source = root / "source"
    source.mkdir()
    items = [f"i{n}\tThe {PLACES[n % 6]} of {1970 + n}\t{1970 + n}\t{GENRES[n % 4]}" for n in range(24)]
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    (source / "s.item").write_text("\n".join([head, *items]) + "\n", "utf-8")
    event = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nann\ti1\t5\t883612800\n"
    (source / "s.inter").write_text(event, "utf-8")
    return {
        "NIGHTMILL_DATA": str(root / "data"),
        "NIGHTMILL_SOURCE__LOCATION": str(source),
        "NIGHTMILL_PROFILES__ITEM_MIN_EVENTS": "0",
        "NIGHTMILL_GENERATION__FLUSH_ROWS": "4",
        "NIGHTMILL_GENERATION__VLLM__MAX_NUM_SEQS": "4",
    }


@pytest.fixture(scope="module")
def settings(environ: dict[str, str]) -> Iterator[Settings]:
    """The settings of those variables; the server is stopped at the end and nothing of it is left."""
    made = load_settings(environ)
    yield made
    pids = [json.loads(f.address.read_text("utf-8"))["pid"] for f in running(made)]
    assert stop_server(made.data_root) == bool(pids)
    assert not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


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


def test_two_jobs_ask_one_server_and_the_answers_are_kept(settings: Settings) -> None:
    first = profile(settings, tonight(settings))
    (server,) = running(settings)
    started = server.address.read_text("utf-8")
    night = tonight(settings)
    second = choose(settings, night)
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


def test_what_was_answered_starts_no_engine(settings: Settings) -> None:
    profile(settings, tonight(settings))
    stop_server(settings.data_root)
    night = tonight(settings)
    assert all(outcome.reused for outcome in profile(settings, night))
    assert night.counts["asked"] == 0
    assert running(settings) == []


def test_a_killed_run_goes_on_where_it_was(settings: Settings, environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "jobs.cli"]
    subprocess.run([*command, "ingest", "--ds", str(DS)], env=os.environ | environ, check=True)
    folder = settings.data_root / "generations" / "profile_item"
    before = parts(folder)
    job = [*command, "profile_items", "--ds", str(DS)]
    process = subprocess.Popen(job, env=os.environ | environ)
    while len(parts(folder)) < len(before) + 2:
        assert process.poll() is None, "it was faster than the kill"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = keys(folder)
    assert Store(settings.data_root).published("item_profiles", DS) is None

    subprocess.run(job, env=os.environ | environ, check=True)
    published = Store(settings.data_root).published("item_profiles", DS)
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


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def keys(folder: Path) -> list[str]:
    return [key for part in parts(folder) for key in pq.read_table(part)["key"].to_pylist()]
