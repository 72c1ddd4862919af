"""The shared model server, with a fake engine in its process: found, shared, idle, stopped, killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from jobs.assets import ResolvedModel
from jobs.llm.ask import ask
from jobs.llm.engine import Engine, EngineDied, Model
from jobs.llm.server import connect, stop_server
from jobs.llm.wire import ServerFiles
from jobs.night import Night

from .conftest import make_request

HOST = """
import json, os, sys
from jobs.llm.fake_engine import FakeEngine
from jobs.llm.host import run
config = json.loads(sys.argv[-1])
print("the fake server says hello", flush=True)
os._exit(run(config, lambda: FakeEngine(delay={delay})))
"""
FAILING = """
import json, os, sys
from feature_store.errors import NightmillError
from jobs.llm.host import run
def load():
    raise NightmillError("vLLM cannot load it: no such folder")
os._exit(run(json.loads(sys.argv[-1]), load))
"""
MODEL = ResolvedModel("fake", "fake", "1")
DEADLINE = 20.0


def command(delay: float = 0.0) -> list[str]:
    return [sys.executable, "-c", HOST.format(delay=delay)]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def running(root: Path) -> list[ServerFiles]:
    return [files for files in ServerFiles.all(root) if files.alive()]


def pid_of(files: ServerFiles) -> int:
    return int(json.loads(files.address.read_text("utf-8"))["pid"])


def hosts_of(root: Path) -> list[psutil.Process]:
    """The live children of this process that were started as a server of that data root."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if str(root) in " ".join(child.cmdline()):  # empty for a zombie
                found.append(child)
    return found


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Iterator[Settings]:
    """Settings over an empty data root, whose servers are stopped afterwards."""
    made = make_settings()
    yield made
    stop_server(made.data_root)


def test_a_second_job_meets_the_server_of_the_first(settings: Settings) -> None:
    requests = [make_request(f"e{n}") for n in range(5)]
    keys = {request.key for request in requests}
    first = connect(settings, MODEL, command())
    assert {answer.key for answer in first.generate(requests)} == keys
    first.close()
    (files,) = running(settings.data_root)
    pid = pid_of(files)
    second = connect(settings, MODEL, ["a command that would fail"])
    assert {answer.key for answer in second.generate(requests)} == keys
    second.close()
    assert pid_of(files) == pid


def test_jobs_that_start_together_get_one_server(settings: Settings) -> None:
    answered: list[set[str]] = []

    def work() -> None:
        engine = connect(settings, MODEL, command(delay=0.01))
        answered.append({a.key for a in engine.generate([make_request(f"e{n}") for n in range(10)])})
        engine.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(keys) for keys in answered] == [10, 10, 10]
    assert len(running(settings.data_root)) == 1
    wait_for(lambda: len(hosts_of(settings.data_root)) == 1)


def test_more_requests_than_fit_in_flight_are_all_answered(settings: Settings) -> None:
    requests = [make_request(f"e{n}") for n in range(1500)]
    engine = connect(settings, MODEL, command())
    assert {answer.key for answer in engine.generate(requests)} == {request.key for request in requests}
    engine.close()


def test_other_arguments_get_another_server(make_settings: Callable[..., Settings]) -> None:
    one = make_settings()
    other = make_settings(GENERATION__VLLM__MAX_MODEL_LEN="512")
    try:
        connect(one, MODEL, command()).close()
        connect(other, MODEL, command()).close()
        # the first one had no job left and made room
        wait_for(lambda: len(running(one.data_root)) == 1)
    finally:
        assert stop_server(one.data_root)


def test_it_ends_itself_when_nothing_was_asked_for_a_while(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(GENERATION__SERVER__IDLE_SECONDS="0.3")
    connect(settings, MODEL, command()).close()
    wait_for(lambda: not running(settings.data_root))
    assert not list((settings.data_root / "engine").glob("*.json"))


def test_stopping_says_whether_one_was_running(settings: Settings) -> None:
    assert not stop_server(settings.data_root)
    connect(settings, MODEL, command()).close()
    assert stop_server(settings.data_root)
    assert not running(settings.data_root)
    assert not stop_server(settings.data_root)


def test_a_server_that_was_killed_is_replaced(settings: Settings) -> None:
    connect(settings, MODEL, command()).close()
    (files,) = running(settings.data_root)
    os.kill(pid_of(files), signal.SIGKILL)
    wait_for(lambda: not files.alive())
    engine = connect(settings, MODEL, command())
    assert len(list(engine.generate([make_request()]))) == 1
    engine.close()


def test_a_server_that_dies_under_a_job_is_named_with_its_log(settings: Settings) -> None:
    engine = connect(settings, MODEL, command(delay=0.05))
    answers = engine.generate([make_request(f"e{n}") for n in range(100)])
    next(answers)
    (files,) = running(settings.data_root)
    os.kill(pid_of(files), signal.SIGKILL)
    with pytest.raises(NightmillError, match=r"the model server stopped \(the fake server says hello\)"):
        list(answers)
    engine.close()


def test_a_server_that_hangs_is_killed_and_said_to_be_dead(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(GENERATION__HANG_SECONDS="0.3")
    engine = connect(settings, MODEL, command(delay=30))
    with pytest.raises(EngineDied, match=r"said nothing for 0 s .* and was killed"):
        list(engine.generate([make_request()]))
    engine.close()
    wait_for(lambda: not running(settings.data_root))


def test_a_server_at_work_on_a_long_answer_says_so(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(GENERATION__HANG_SECONDS="0.6")
    host = HOST.replace(
        "import json", "import jobs.llm.host; jobs.llm.host.BEAT_SECONDS = 0.05\nimport json", 1
    )
    engine = connect(settings, MODEL, [sys.executable, "-c", host.format(delay=0.15)])
    # e7 waits 1.2 seconds for its turn, and the answers before it are others' as far as it knows
    other = connect(settings, MODEL, command())
    before = other.generate([make_request(f"e{n}") for n in range(7)])
    next(before)
    (answer,) = engine.generate([make_request("e7")])
    assert answer.error is None
    engine.close()
    other.close()


def test_what_a_killed_job_asked_is_dropped(settings: Settings, tmp_path: Path) -> None:
    engine = connect(settings, MODEL, command(delay=0.2))
    abandoned = engine.generate([make_request(f"old{n}") for n in range(100)])
    next(abandoned)
    engine.close()
    other = connect(settings, MODEL, command())
    # 100 abandoned requests would take 20 seconds
    (answer,) = other.generate([make_request("new")])
    other.close()
    assert answer.key == make_request("new").key
    assert stop_server(settings.data_root)


def test_two_jobs_may_ask_the_same(settings: Settings) -> None:
    one, two = (connect(settings, MODEL, command(delay=0.05)) for _ in range(2))
    requests = [make_request(f"e{n}") for n in range(3)]
    first, second = one.generate(requests), two.generate(requests)
    keys = {next(first).key, *(answer.key for answer in second)}
    assert keys | {answer.key for answer in first} == {request.key for request in requests}
    one.close()
    two.close()


def test_a_model_that_does_not_load_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(NightmillError, match="did not start: vLLM cannot load it: no such folder"):
        connect(settings, MODEL, [sys.executable, "-c", FAILING])


def test_a_process_that_dies_while_it_starts_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(NightmillError, match="did not start: SystemError: out of luck"):
        connect(settings, MODEL, [sys.executable, "-c", "raise SystemError('out of luck')"])


def test_the_address_is_for_its_owner_only(settings: Settings) -> None:
    connect(settings, MODEL, command()).close()
    (files,) = running(settings.data_root)
    assert files.address.stat().st_mode & 0o777 == 0o600
    assert json.loads(files.address.read_text("utf-8"))["host"] == "127.0.0.1"


def test_nothing_heavy_is_imported_to_stop_a_server(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jobs.llm.server import stop_server; "
        f"stop_server(Path({str(tmp_path)!r})); "
        "print(sorted({'vllm', 'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


POISONED = """
import json, os, sys, time
from jobs.llm.fake_engine import FakeEngine
from jobs.llm.host import run
class Poisoned(FakeEngine):
    def submit(self, request):
        if request.entity_id == "e5":
            {what}
        return super().submit(request)
os._exit(run(json.loads(sys.argv[-1]), Poisoned))
"""


@pytest.mark.parametrize(
    ("what", "hang"), [("os._exit(9)", "60"), ("os.kill(os.getpid(), 11)", "60"), ("time.sleep(99)", "1")]
)
def test_a_row_that_kills_or_hangs_the_server_is_the_only_one_lost(
    night: Callable[..., Night], model: Model, what: str, hang: str
) -> None:
    tonight = night(GENERATION__HANG_SECONDS=hang, GENERATION__VLLM__MAX_NUM_SEQS="4")
    host = [sys.executable, "-c", POISONED.format(what=what)]

    @contextlib.contextmanager
    def open_() -> Iterator[Engine]:
        engine = connect(tonight.settings, MODEL, host)
        try:
            yield engine
        finally:
            engine.close()

    requests = [make_request(f"e{n}") for n in range(12)]
    try:
        outcomes = ask(
            tonight, requests, lambda request, _: {"id": request.entity_id}, model, "asking", open_
        )
    finally:
        stop_server(tonight.settings.data_root)
    assert [o.request.entity_id for o in outcomes if o.values is None] == ["e5"]
    assert outcomes[5].reason == "engine_error"
    assert "it kills the engine: the model server" in outcomes[5].detail
    assert tonight.counts["asked"] == 12
