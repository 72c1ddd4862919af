"""How jobs talk to the model server that a night shares: JSON messages over an authenticated local socket.

job -> server    {"ask": [request, ...]}   {"stop": "now" | "when idle"}
server -> job    {"answer": {...}}   {"state": "loading" | "ready" | "failed" | "stopping"}
                 (a ready server repeats its state every few seconds, so that silence means something)
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from feature_store.partitions import write_atomically


@dataclass(frozen=True)
class Address:
    """Where a running server listens and what lets a job in; readable by its owner only."""

    host: str
    port: int
    secret: str
    pid: int


class ServerFiles:
    """What a server for one model and one set of arguments leaves under the data root.

    address: where it listens. lock: held while it lives, freed by the kernel however it dies. log: what it
    said.
    """

    def __init__(self, data_root: Path, identity: str) -> None:
        self.folder = data_root / "engine"
        self.identity = identity
        self.address, self.lock, self.log = (
            self.folder / f"{identity}.{suffix}" for suffix in ("json", "lock", "log")
        )

    @classmethod
    def all(cls, data_root: Path) -> "list[ServerFiles]":
        """Those of every server that ever ran under this data root."""
        return [cls(data_root, path.stem) for path in sorted((data_root / "engine").glob("*.lock"))]

    def take(self) -> int | None:
        """Become the server of this identity: the lock's descriptor, or None while another one lives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def alive(self) -> bool:
        """Whether a server holds the lock."""
        if not self.lock.exists():
            return False
        descriptor = self.take()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def publish(self, address: Address) -> None:
        """Say where the server listens."""
        write_atomically(self.address, json.dumps(asdict(address)), mode=0o600)

    def connect(self) -> Connection | None:
        """A connection to the living server, None where there is none or it does not listen (yet)."""
        if not self.alive():
            return None
        try:
            address = Address(**json.loads(self.address.read_text("utf-8")))
            return Client((address.host, address.port), authkey=address.secret.encode())
        except (OSError, EOFError, ValueError, TypeError):
            return None

    def last_words(self) -> str:
        """The last line of the log that says something."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return "it left no log"
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:300] if said else "its log is empty"


def send(connection: Connection, message: Mapping[str, Any]) -> None:
    """Send one message."""
    connection.send_bytes(json.dumps(message).encode("utf-8", "surrogatepass"))


def receive(connection: Connection) -> dict[str, Any]:
    """Receive one message; EOFError when the other side is gone."""
    message: dict[str, Any] = json.loads(connection.recv_bytes().decode("utf-8", "surrogatepass"))
    return message
