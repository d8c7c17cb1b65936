"""Which hosts are ours."""

import pytest

from app.api.middleware import Hosts
from app.config import Settings


def hosts(*allowed: str) -> Hosts:
    return Hosts(Settings.model_construct(public_base_url="https://monitor.example.com", allowed_hosts=allowed))


@pytest.mark.parametrize(
    "header",
    [
        "monitor.example.com",
        "MONITOR.example.com",
        "monitor.example.com:8000",
        "localhost:8000",
        "127.0.0.1",
        "10.1.2.3:80",
        "[::1]:8000",
        "api:8000",
    ],
)
def test_our_own_name_addresses_and_single_words_are_ours(header: str) -> None:
    assert hosts().allow(header)


@pytest.mark.parametrize(
    "header",
    [
        "evil.com",
        "monitor.example.com.evil.com",
        "example.com",
        "",
        "a@monitor.example.com",
        "monitor.example.com:x",
        "a b",
        "[::1",
    ],
)
def test_unknown_names_are_rejected(header: str) -> None:
    assert not hosts().allow(header)


def test_further_names_come_from_a_setting() -> None:
    assert hosts("other.example.com").allow("other.example.com")
    assert hosts("*").allow("evil.com")
