"""Ports for servers that are about to start."""

import socket

from pytest_socket import enable_socket

from scripts.local.processes import LOOPBACK, free_port, port_is_free


def test_a_free_port_is_none_that_the_system_gives_to_connections() -> None:
    enable_socket()
    for _ in range(20):
        assert 1024 < free_port() < 32_768


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    enable_socket()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        assert not port_is_free(taken.getsockname()[1])
