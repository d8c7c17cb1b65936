"""Pages as bytes: cut, odd, deep; and links that may be followed."""

import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TwilioRefused, TwilioUnavailable
from app.services.twilio.pages import follow, prune_depth, read_page, repair_text


def test_both_apis_name_the_next_page_in_their_own_way() -> None:
    old = json.dumps({"messages": [{"sid": "a"}], "next_page_uri": "/next", "page": 0}).encode()
    new = json.dumps({"alerts": [], "meta": {"key": "alerts", "next_page_url": "https://m/next"}}).encode()
    assert [bytes(record) for record in read_page(old, "messages")[0]] == [b'{"sid": "a"}']
    assert (read_page(old, "messages")[1], read_page(new, "alerts")[1]) == ("/next", "https://m/next")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"messages": {}}', b'{"calls": [], "next_page_uri": null}', b'{"messages": [{"a": 1'],
)
def test_an_unreadable_page_is_read_again(body: bytes) -> None:
    with pytest.raises(TwilioUnavailable):
        read_page(body, "messages")


@pytest.mark.parametrize("rest", [b"", b', "meta": {}'])
def test_a_page_that_does_not_say_whether_it_is_the_last_is_not_taken_for_it(rest: bytes) -> None:
    with pytest.raises(TwilioUnavailable):
        read_page(b'{"messages": []' + rest + b"}", "messages")


def test_odd_characters_and_depths_cost_no_more_than_themselves() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = (
        b'{"messages": [{"sid": "a", "b": "\\ud800 \xff"}, {"sid": "b", "c": '
        + deep
        + b'}, {"sid": "c"}], "next_page_uri": ""}'
    )
    records, _ = read_page(body, "messages")
    assert [json.loads(bytes(record))["sid"] for record in records] == ["a", "b", "c"]


@given(st.text())
def test_whole_text_is_left_as_it_is(text: str) -> None:
    body = json.dumps([text]).encode()
    assert json.loads(repair_text(body)) == [text]
    assert prune_depth(body) == body


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.com/x",
        "//evil.example.com/x",
        "http://api.twilio.com/x",
        "https://api.twilio.com:8443/x",
        "https://api.twilio.com@evil.example.com/x",
        "https://user:pass@api.twilio.com/x",
        "https://api.twilio.com.evil.example.com/",
        "file:///etc/passwd",
        "https://api.twilio.com:port/x",
    ],
)
def test_a_link_to_another_server_is_not_followed(link: str) -> None:
    with pytest.raises(TwilioRefused):
        follow("https://api.twilio.com", link)


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("https://monitor.dublin.ie1.twilio.com", "https://monitor.twilio.com/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://monitor.twilio.com", "https://monitor.dublin.ie1.twilio.com/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://monitor.au1.twilio.com", "https://monitor.sydney.au1.twilio.com/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://monitor.dublin.ie1.twilio.com", "/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://monitor.twilio.com:443", "https://monitor.twilio.com/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://proxy.example.com/twilio", "/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://proxy.example.com/twilio", "/twilio/v1/Alerts?PageToken=PA%20b&Page=1"),
        ("https://proxy.example.com/twilio", "https://proxy.example.com/twilio/v1/Alerts?PageToken=PA%20b&Page=1"),
    ],
)
def test_a_page_of_another_region_is_asked_of_the_host_that_was_set(base: str, link: str) -> None:
    assert follow(base, link) == base + "/v1/Alerts?PageToken=PA%20b&Page=1"


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("https://monitor.dublin.ie1.twilio.com", "https://api.dublin.ie1.twilio.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://evil.monitor.twilio.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://monitor.a.b.c.twilio.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://monitor.twilio.com.example.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://monitortwilio.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "http://monitor.twilio.com/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://monitor.twilio.com:8443/v1/Alerts"),
        ("https://monitor.dublin.ie1.twilio.com", "https://user@monitor.twilio.com/v1/Alerts"),
        ("https://proxy.example.com", "https://monitor.twilio.com/v1/Alerts"),
        ("http://127.0.0.1:8080", "https://monitor.twilio.com/v1/Alerts"),
    ],
)
def test_no_other_host_counts_as_another_region(base: str, link: str) -> None:
    with pytest.raises(TwilioRefused):
        follow(base, link)


@given(st.text(), st.sampled_from(["https://monitor.dublin.ie1.twilio.com", "http://127.0.0.1:8080"]))
def test_credentials_only_go_to_the_configured_host(link: str, base: str) -> None:
    with suppress(TwilioRefused):
        assert urlsplit(follow(base, link))[:2] == urlsplit(base)[:2]


@pytest.mark.parametrize("link", ["/2010-04-01/x?Page=1&PageToken=PASM", "https://api.twilio.com/x?a=%20b"])
def test_a_link_to_the_same_server_is_followed_verbatim(link: str) -> None:
    assert follow("https://api.twilio.com", link).endswith(link)
