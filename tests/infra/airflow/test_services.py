import socket
import subprocess
import sys

import pytest

from feature_store.errors import NightmillError
from infra.airflow.services import Services

LISTEN = """
import socket, sys
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
print(server.getsockname()[1], flush=True); sys.stdin.read()
"""


def test_a_server_that_is_not_ours_is_not_talked_to(tmp_path):
    services = Services(tmp_path, 0)
    command = [sys.executable, "-c", LISTEN]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ours,
        socket.socket() as theirs,
    ):
        services.processes["api-server"] = ours
        services.require_port(int(ours.stdout.readline()))
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        with pytest.raises(NightmillError, match="another program took port"):
            services.require_port(theirs.getsockname()[1])
        ours.stdin.close()
