"""The real `nightmill`, its imports and its JVM ready: one process that forks for every call.

Five nights are a hundred calls, and each alone would spend most of its time on importing Great Expectations,
torch and Spark. What a call then runs is jobs/cli.py with the caller's variables, folder and output. One
machine and one user only; two calls that use Spark must not overlap, which the pool `spark` sees to.
"""

import array
import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stand_in_environment import stand_in_environment

# -S -E: no site packages, the interpreter alone.
CLIENT = """\
#!{python} -SE
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([len(call).to_bytes(4, "big")], streams)
    server.sendall(call)
    code = server.recv(1)
sys.exit(code[0] if code else 137)
"""
PRELOADED = (
    "great_expectations",
    "torch",
    "transformers",
    "lightgbm",
    "implicit",
    "scipy.stats",
    "pyspark.sql",
)


class Call(socketserver.StreamRequestHandler):
    """One call, in a process of its own: answers with the exit code."""

    def handle(self) -> None:
        head, ancillary, _, _ = self.request.recvmsg(4, socket.CMSG_SPACE(3 * 4))
        descriptors = array.array("i")
        descriptors.frombytes(ancillary[0][2])
        arguments, variables, folder = json.loads(self.rfile.read(int.from_bytes(head, "big")))
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        gateway = {name: os.environ[name] for name in os.environ if name.startswith("PYSPARK_GATEWAY")}
        os.environ.clear()
        os.environ.update(variables | gateway)
        os.chdir(folder)
        self.request.sendall(bytes([run(arguments)]))


def run(arguments: list[str]) -> int:
    """`nightmill ARGUMENTS`; its exit code."""
    from jobs.cli import main

    sys.argv = ["nightmill", *arguments]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        return 1
    finally:
        sys.stdout.flush()


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """A process for every call, as many as come."""

    max_children = 64


def serve(address: str) -> None:
    """Import, start a JVM, and take calls until the process is ended."""
    import importlib

    from feature_store.gates import _great_expectations
    from feature_store.settings import load_settings
    from feature_store.spark import _configuration
    from jobs.chain import CHAIN, load_job

    _great_expectations()
    for name in (*CHAIN, "renew"):
        with contextlib.suppress(ImportError, KeyError, AttributeError):
            load_job(name)
    for name in PRELOADED:
        importlib.import_module(name)
    from pyspark import SparkConf
    from pyspark.java_gateway import launch_gateway

    gateway = launch_gateway(SparkConf(loadDefaults=False).setAll(_configuration(load_settings()).items()))
    os.environ["PYSPARK_GATEWAY_PORT"] = str(gateway.gateway_parameters.port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = gateway.gateway_parameters.auth_token
    Server(address, Call).serve_forever()


@contextmanager
def warm_command(folder: Path, variables: dict[str, str]) -> Iterator[Path]:
    """An environment like this one in a new folder, whose `nightmill` is warm; yields its interpreter."""
    folder.mkdir()
    address = str(folder / "calls")
    client = CLIENT.format(python=Path(sys.executable).resolve(), address=address)
    python = stand_in_environment(folder, client)
    code = f"from tests.infra.airflow.warm_command import serve; serve({address!r})"
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 300
        while not Path(address).exists():
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the warm command did not start"
            time.sleep(0.1)
        yield python
    finally:
        # The JVM and any call that is not done yet go with it.
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
