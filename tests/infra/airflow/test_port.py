import socket

import pytest

from feature_store.errors import NightmillError
from infra.airflow.home import HOST
from infra.airflow.port import reserved_port


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        used = taken.getsockname()[1]
        with reserved_port(used) as port:
            assert port > used
        refused = pytest.raises(NightmillError, match=f"no free port between {used} and {used}")
        with refused, reserved_port(used, tries=1):
            pass


def test_two_that_start_at_once_get_two_ports() -> None:
    with reserved_port(20000) as one, reserved_port(20000) as other:
        assert other > one


def test_a_reserved_port_can_be_listened_to_and_is_free_afterwards() -> None:
    with reserved_port(20000) as port, socket.socket() as server:
        server.bind((HOST, port))
        server.listen()
    with reserved_port(port) as again:
        assert again == port
