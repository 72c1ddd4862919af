"""The model server a night shares: the first job with a question starts it, it stops when told or when idle.

Loading an engine costs a minute, and a night is many short processes; so the engine lives in a process of its
own (jobs/llm/host.py) that every job connects to. Two jobs starting at once get one server; a server with
another model or other arguments is another server.
"""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from feature_store.settings import REPOSITORY
from jobs.assets import ResolvedAdapter, ResolvedModel, resolve_adapter
from jobs.llm.engine import EngineDied
from jobs.llm.request import Answer, Request
from jobs.llm.vllm_engine import engine_arguments, process_environment
from jobs.llm.wire import Address, ServerFiles, receive, send

COMMAND = (sys.executable, "-m", "jobs.llm.host")


class ServedEngine:
    """A connection to the server of the night.

    silence_seconds: a server that says nothing for so long is taken for dead. room: requests it is given at
    once, some more than it computes at once.
    """

    def __init__(
        self, connection: Connection, files: ServerFiles, silence_seconds: float, room: int = 256
    ) -> None:
        self._connection, self._files = connection, files
        self._silence, self._room = silence_seconds, room

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Stream answers as they finish; EngineDied when the server dies or falls silent."""
        open_keys: set[str] = set()
        rest = iter(requests)
        while True:
            while len(open_keys) < self._room and (request := next(rest, None)) is not None:
                open_keys.add(request.key)
                self._send({"ask": [request.to_wire()]})
            if not open_keys:
                return
            answer = Answer(**self._receive()["answer"])
            open_keys.discard(answer.key)
            yield answer

    def close(self) -> None:
        """Leave; what is still unanswered is dropped by the server, which stays for the next job."""
        self._connection.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            send(self._connection, message)
        except OSError:
            raise self._died() from None

    def _receive(self) -> dict[str, Any]:
        try:
            while self._connection.poll(self._silence):
                message = receive(self._connection)
                if "answer" in message:
                    return message
        except (EOFError, OSError):
            raise self._died() from None
        _kill(self._files)
        raise EngineDied(
            f"the model server said nothing for {self._silence:.0f} s (generation.hang_seconds) and was "
            f"killed; its log: {self._files.log}"
        )

    def _died(self) -> EngineDied:
        return EngineDied(
            f"the model server stopped ({self._files.last_words()}); its log: {self._files.log}"
        )


def connect(settings: Settings, model: ResolvedModel, command: Sequence[str] = COMMAND) -> ServedEngine:
    """Connect to the server for this model and these arguments, started if there is none.

    Waits until the model is loaded. NightmillError when it does not load, or not in time.
    """
    generation = settings.generation
    arguments = engine_arguments(generation, model)
    identity = _identity(arguments, model, resolve_adapter(generation.adapter))
    files = ServerFiles(settings.data_root, identity)
    deadline = time.monotonic() + generation.server.start_seconds
    connection = files.connect()
    if connection is None:
        _send_others_away(settings.data_root, identity)
        config = {
            "data_root": str(settings.data_root),
            "identity": identity,
            "host": generation.server.host,
            "port": generation.server.port,
            "idle_seconds": generation.server.idle_seconds,
            "arguments": arguments,
            "adapter": generation.adapter,
        }
        print(
            f"starting the model server for {model.model_id}; its log: {files.log}",
            file=sys.stderr,
            flush=True,
        )
        connection = _start(files, [*command, json.dumps(config)], deadline)
    _wait_until_ready(connection, files, deadline)
    return ServedEngine(connection, files, generation.hang_seconds, 2 * generation.vllm.max_num_seqs)


def stop_server(data_root: Path) -> bool:
    """Stop every model server of a data root and wait until it is gone; True if one was running."""
    running = [files for files in ServerFiles.all(data_root) if files.alive()]
    for files in running:
        _stop(files)
    return bool(running)


@contextmanager
def shared_server(data_root: Path) -> Iterator[None]:
    """A block whose jobs share a model server; the last of the processes in such a block stops it."""
    folder = data_root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "model-server-users.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        try:
            yield
        finally:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                stop_server(data_root)


def _identity(arguments: Mapping[str, Any], model: ResolvedModel, adapter: ResolvedAdapter | None) -> str:
    named = [arguments, model.model_id, model.revision, adapter and asdict(adapter)]
    text = json.dumps(named, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _start(files: ServerFiles, command: Sequence[str], deadline: float) -> Connection:
    files.folder.mkdir(parents=True, exist_ok=True)
    with open(files.log, "w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            env=process_environment(os.environ),
            start_new_session=True,
        )
    while time.monotonic() < deadline:
        if connection := files.connect():
            return connection
        # It also ends, with 0, when another job's server was faster: then that one is found.
        if process.poll():
            raise _failed(files.last_words(), files)
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise _failed("it did not listen in time", files)


def _wait_until_ready(connection: Connection, files: ServerFiles, deadline: float) -> None:
    try:
        while connection.poll(max(0.0, deadline - time.monotonic())):
            message = receive(connection)
            if message.get("state") == "ready":
                return
            if message.get("state") == "failed":
                raise _failed(message["problem"], files)
    except (EOFError, OSError):
        raise _failed(files.last_words(), files) from None
    raise _failed("generation.server.start_seconds passed before the model was loaded", files)


def _failed(problem: str, files: ServerFiles) -> NightmillError:
    return NightmillError(f"the model server did not start: {problem}. Its log: {files.log}")


def _send_others_away(data_root: Path, identity: str) -> None:
    """Make room: a server with another model goes as soon as no job is connected to it."""
    for files in ServerFiles.all(data_root):
        if files.identity != identity and (connection := files.connect()):
            with connection, suppress(OSError):
                send(connection, {"stop": "when idle"})


def _stop(files: ServerFiles, patience: float = 10.0) -> None:
    """Ask the server to stop, then insist."""
    if connection := files.connect():
        with connection, suppress(OSError):
            send(connection, {"stop": "now"})
    for last_resort in (signal.SIGTERM, signal.SIGKILL, None):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not files.alive():
                return
            time.sleep(0.05)
        if last_resort is not None:
            _kill(files, last_resort)
    raise NightmillError(f"the model server cannot be stopped; its address file: {files.address}")


def _kill(files: ServerFiles, how: signal.Signals = signal.SIGKILL) -> None:
    with suppress(OSError, ValueError, TypeError):
        os.kill(Address(**json.loads(files.address.read_text("utf-8"))).pid, how)
