"""The model server's own process: loads one engine, answers every job that connects, ends itself when idle.

Started by jobs/llm/server.py as `python -m jobs.llm.host CONFIG`; never by hand. On a CPU everything is in
this one process, so that whatever kills it leaves nothing behind.
"""

import json
import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError
from jobs.llm.engine import SteppingEngine
from jobs.llm.request import Answer, Request
from jobs.llm.wire import Address, ServerFiles, receive, send

# So often a working server says that it lives: a long answer is not a hanging engine.
BEAT_SECONDS = 5.0
GONE: Mapping[str, Any] = {"gone": True}


@dataclass(eq=False)
class Guest:
    """A connected job: what it sends is read by one thread, what it gets is written by another."""

    connection: Connection
    outbox: "queue.Queue[Mapping[str, Any]]" = field(default_factory=queue.Queue)

    def listen(self, inbox: "queue.Queue[tuple[Guest, Mapping[str, Any]]]") -> None:
        """Pass messages on until the job is gone."""
        try:
            while True:
                inbox.put((self, receive(self.connection)))
        except (EOFError, OSError):
            inbox.put((self, GONE))

    def talk(self) -> None:
        """Write the outbox; a job that went away is noticed by the thread that listens."""
        try:
            while message := self.outbox.get():
                send(self.connection, message)
        except OSError:
            pass
        self.connection.close()


class Host:
    """One engine and the jobs that ask it."""

    def __init__(self, listener: Listener, idle_seconds: float) -> None:
        self.listener, self.idle_seconds = listener, idle_seconds
        self.inbox: queue.Queue[tuple[Guest, Mapping[str, Any]]] = queue.Queue()
        self.guests: set[Guest] = set()
        self.waiting: dict[str, list[Guest]] = {}
        self.state: Mapping[str, Any] = {"state": "loading"}
        self.stopping = False  # at once
        self.leaving = False  # as soon as nobody is connected: another server wants the room
        self.last_used = time.monotonic()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self.listener.accept()
            except OSError:
                if self.stopping:
                    return
                continue  # somebody without the secret
            except EOFError:
                continue
            guest = Guest(connection)
            self.guests.add(guest)
            guest.outbox.put(self.state)
            threading.Thread(target=guest.listen, args=(self.inbox,), daemon=True).start()
            threading.Thread(target=guest.talk, daemon=True).start()

    def tell(self, state: Mapping[str, Any]) -> None:
        """Let every job, present and future, know the server's state."""
        self.state = state
        for guest in list(self.guests):
            guest.outbox.put(state)

    def serve(self, engine: SteppingEngine) -> None:
        """Answer until stopped, or until nothing was asked for `idle_seconds`."""
        self.tell({"state": "ready"})
        self.last_used = beaten = time.monotonic()
        while not self.stopping:
            if time.monotonic() - beaten > BEAT_SECONDS:
                self.tell(self.state)
                beaten = time.monotonic()
            self._take_messages(engine)
            for answer in engine.step() if engine.busy else ():
                self._deliver(answer)
            idle = not engine.busy and time.monotonic() - self.last_used > self.idle_seconds
            if idle or (self.leaving and not self.guests):
                return

    def _take_messages(self, engine: SteppingEngine) -> None:
        try:
            guest, message = self.inbox.get(timeout=0.0001 if engine.busy else 0.5)
            while True:
                self._handle(engine, guest, message)
                guest, message = self.inbox.get_nowait()
        except queue.Empty:
            return

    def _handle(self, engine: SteppingEngine, guest: Guest, message: Mapping[str, Any]) -> None:
        if message is GONE:
            self._leave(engine, guest)
        elif "stop" in message:
            self.leaving = True
            self.stopping = self.stopping or message["stop"] == "now"
            guest.outbox.put({"state": "stopping"})
        else:
            for wire in message["ask"]:
                self._submit(engine, guest, Request.from_wire(wire))

    def _submit(self, engine: SteppingEngine, guest: Guest, request: Request) -> None:
        self.last_used = time.monotonic()
        asked = self.waiting.setdefault(request.key, [])
        asked.append(guest)
        if len(asked) == 1 and (refused := engine.submit(request)):
            self._deliver(refused)

    def _deliver(self, answer: Answer) -> None:
        self.last_used = time.monotonic()
        for guest in self.waiting.pop(answer.key, ()):
            guest.outbox.put({"answer": asdict(answer)})

    def _leave(self, engine: SteppingEngine, guest: Guest) -> None:
        self.guests.discard(guest)
        guest.outbox.put({})
        dropped = set()
        for key, asked in list(self.waiting.items()):
            self.waiting[key] = [other for other in asked if other is not guest]
            if not self.waiting[key]:
                del self.waiting[key]
                dropped.add(key)
        if dropped:
            engine.abort(dropped)


def _take(files: ServerFiles) -> bool:
    """Whether this process became the server; a job that only looks holds the lock for a moment, too."""
    for _ in range(20):
        if files.take() is not None:
            return True
        time.sleep(0.05)
    return False


def run(config: Mapping[str, Any], load: Callable[[], SteppingEngine]) -> int:
    """Be the server of `config` until it is stopped or idle; 0 also where another one is already there."""
    files = ServerFiles(Path(config["data_root"]), config["identity"])
    if not _take(files):
        return 0
    secret = secrets.token_hex(32)
    listener = Listener((config["host"], config["port"]), authkey=secret.encode())
    host, port = listener.address
    files.publish(Address(str(host), int(port), secret, os.getpid()))
    server = Host(listener, config["idle_seconds"])
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "stopping", True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the job; the server ends when idle
    try:
        engine = load()
    except NightmillError as error:
        server.tell({"state": "failed", "problem": str(error)})
        time.sleep(1.0)  # until the jobs have read it
        return 1
    try:
        server.serve(engine)
    finally:
        files.address.unlink(missing_ok=True)
        engine.close()
        time.sleep(0.2)  # until the last answers are written
    return 0


def _load_vllm(config: Mapping[str, Any]) -> SteppingEngine:
    from jobs.llm.vllm_engine import VllmEngine

    return VllmEngine(config["arguments"], config["adapter"])


def main() -> None:
    """Entry point; the process ends without waiting for threads that only read sockets."""
    config = json.loads(sys.argv[1])
    code = run(config, lambda: _load_vllm(config))
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
