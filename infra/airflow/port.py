"""The port of one Airflow: nothing listens to it yet, and no other Airflow that is starting means to."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from feature_store.errors import NightmillError
from infra.airflow.home import HOST

DEFAULT_PORT = 8080


@contextmanager
def reserved_port(first: int = DEFAULT_PORT, tries: int = 100) -> Iterator[int]:
    """Claim the first free port from `first` on until the block ends; NightmillError when there is none.

    The api-server listens many seconds after the port was chosen. Until then the claim, a name in the
    kernel's table of abstract sockets that goes with this process, keeps a second Airflow off it.
    """
    for port in range(first, first + tries):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0nightmill-airflow-{port}")
                _probe(port)
            except OSError:
                continue
            yield port
            return
    raise NightmillError(f"no free port between {first} and {first + tries - 1}; stop what listens there")


def _probe(port: int) -> None:
    with socket.socket() as probe:
        # The server itself reuses an address in TIME_WAIT; a probe that did not would pass it over.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
