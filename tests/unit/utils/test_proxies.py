"""Which requests go through a proxy."""

import pytest

from app.utils.proxies import DIRECT, Proxy, check_proxy, parse_exceptions

PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("", "https://api.twilio.com/x", False),
        ("", "http://localhost:8000/", True),
        ("", "http://127.0.0.1/", True),
        ("", "http://[::1]:80/", True),
        ("*", "https://api.twilio.com/", True),
        ("twilio.com", "https://api.twilio.com/", True),
        (".twilio.com", "https://api.twilio.com/", True),
        ("*.twilio.com", "https://api.twilio.com/", True),
        ("TWILIO.COM", "https://API.twilio.com/", True),
        ("twilio.com", "https://nottwilio.com/", False),
        ("api.twilio.com:8443", "https://api.twilio.com/", False),
        ("api.twilio.com:443", "https://api.twilio.com/", True),
        ("10.0.0.0/8, fd00::/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8 fd00::/8", "https://[fd12::1]/", True),
        ("10.0.0.0/8,fd00::/8", "https://[2606:4700::1111]/", False),
        ("10.0.0.5/8", "https://10.1.2.3/", True),
        ("192.168.1.1", "https://192.168.1.1:8443/", True),
        ("[fd00::1]", "https://[fd00::1]/", True),
    ],
)
def test_hosts_in_no_proxy_are_reached_directly(listed: str, url: str, direct: bool) -> None:
    assert Proxy(PROXY, parse_exceptions(listed)).for_url(url) == (None if direct else PROXY)


def test_without_a_proxy_everything_is_reached_directly() -> None:
    assert DIRECT.for_url("https://api.twilio.com/") is None


@pytest.mark.parametrize("listed", ["10.0.0.0/33", "<local>", "a b:port", "fd00::/129", "https://x.com"])
def test_an_unreadable_list_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match="fd00::/8"):
        parse_exceptions(listed)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("http://me:pw@proxy:3128/", "http://me:pw@proxy:3128"),
        ("https://[fd00::1]:3128", "https://[fd00::1]:3128"),
    ],
)
def test_the_address_of_a_proxy_is_accepted(text: str, address: str) -> None:
    assert check_proxy(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "socks5://proxy:1080",
        "socks5h://p",
        "http://",
        "http://proxy:99999",
        "http://proxy:x",
        "ftp://p",
        "http://p/x",
        "http://[::1",
    ],
)
def test_what_is_no_http_proxy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HTTP proxy"):
        check_proxy(text)


def test_a_proxy_shows_no_password() -> None:
    assert "canary" not in repr(Proxy("http://me:canary@proxy"))
