"""Unit tests reach neither network nor database."""

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def no_sockets() -> object:
    disable_socket(allow_unix_socket=True)  # asyncio talks to itself over one
    yield
    enable_socket()
