"""Where `scripts/start` is told to listen, and what is wrong with it."""

import socket

import pytest

from scripts.local.ports import check_address
from scripts.local.processes import LOOPBACK, free_port


def test_an_address_of_this_machine_is_accepted() -> None:
    for host in (LOOPBACK, "0.0.0.0", "localhost"):
        check_address(host, free_port())


@pytest.mark.parametrize(
    ("host", "said"),
    [("203.0.113.1", "is no address of this machine"), ("no.such.invalid", "is no address and no name")],
)
def test_an_address_that_is_not_ours_is_reported(host: str, said: str) -> None:
    with pytest.raises(OSError, match=f"--host {host} {said}"):
        check_address(host, free_port())


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(OSError, match="is taken: choose another"):
        check_address(LOOPBACK, taken.getsockname()[1])
